// Runs a health script as Argo CD does: gopher-lua with the libraries base, table and package, and the object in obj.
// It takes the script's path and, on standard input, a JSON array of objects; it prints what the script says of each.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	lua "github.com/yuin/gopher-lua"
)

type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "lua:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: lua SCRIPT < OBJECTS.json")
	}
	script, err := os.ReadFile(os.Args[1])
	if err != nil {
		return err
	}
	var objects []any
	if err := json.NewDecoder(os.Stdin).Decode(&objects); err != nil {
		return err
	}
	said := []health{}
	for _, object := range objects {
		one, err := judge(string(script), object)
		if err != nil {
			return err
		}
		said = append(said, one)
	}
	return json.NewEncoder(os.Stdout).Encode(said)
}

func judge(script string, object any) (health, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		call := lua.P{Fn: state.NewFunction(open), NRet: 0, Protect: true}
		if err := state.CallByParam(call, lua.LString(name)); err != nil {
			return health{}, err
		}
	}
	// Argo CD gives a script one second.
	patience, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(patience)
	state.SetGlobal("obj", value(state, object))
	if err := state.DoString(script); err != nil {
		return health{}, err
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return health{}, fmt.Errorf("the script gives a %s and not a table", state.Get(-1).Type())
	}
	return health{text(table, "status"), text(table, "message")}, nil
}

func text(table *lua.LTable, key string) string {
	if found, ok := table.RawGetString(key).(lua.LString); ok {
		return string(found)
	}
	return ""
}

func value(state *lua.LState, from any) lua.LValue {
	switch from := from.(type) {
	case bool:
		return lua.LBool(from)
	case float64:
		return lua.LNumber(from)
	case string:
		return lua.LString(from)
	case []any:
		list := state.NewTable()
		for _, each := range from {
			list.Append(value(state, each))
		}
		return list
	case map[string]any:
		fields := state.NewTable()
		for key, each := range from {
			fields.RawSetString(key, value(state, each))
		}
		return fields
	}
	return lua.LNil
}
