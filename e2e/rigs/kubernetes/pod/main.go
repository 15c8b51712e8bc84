// Command pod is what the cluster's own pods run. Without an argument it holds a pod's namespaces open until a signal
// ends it, as the usual pause does; with "probe" it says whether a pod reaches the API server by name.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const service = "kubernetes.default.svc.cluster.local:443"

func probe() error {
	began := time.Now()
	for {
		conn, err := net.DialTimeout("tcp", service, 2*time.Second)
		if err == nil {
			fmt.Printf("%s reached after %s\n", service, time.Since(began).Round(time.Millisecond))
			return conn.Close()
		}
		if time.Since(began) > 30*time.Second {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "probe" {
		if err := probe(); err != nil {
			fmt.Printf("%s not reached: %v\n", service, err)
			os.Exit(1)
		}
		return
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	<-ended
}
