// A Google Cloud Storage server for tests: fake-gcs-server with the parts of the XML API that it lacks and the worker
// uses (put with a condition, pages of a listing, a missing bucket). Objects, generations and conditions are its own.
package main

import (
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

func main() {
	address := flag.String("address", "127.0.0.1:4443", "host and port to listen on")
	root := flag.String("root", "data", "folder of the buckets")
	flag.Parse()
	server, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		NoListener: true, StorageRoot: *root, PublicHost: *address, ExternalURL: "http://" + *address, Writer: io.Discard,
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe(*address, xmlAPI{server}))
}

type xmlAPI struct{ server *fakestorage.Server }

func (api xmlAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, known := range []string{"/storage/", "/upload/", "/download/", "/batch/"} {
		if strings.HasPrefix(r.URL.Path, known) {
			api.server.HTTPHandler().ServeHTTP(w, r)
			return
		}
	}
	bucket, object, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	// Clients escape more of a name than they must; no bucket's name needs it.
	bucket, err := url.PathUnescape(bucket)
	if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidBucketName", err.Error())
		return
	}
	if answer := api.ask(r, http.MethodGet, "/storage/v1/b/"+bucket, nil); answer.Code != http.StatusOK {
		refuse(w, http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist.")
		return
	}
	switch {
	case object == "":
		api.list(w, r, bucket)
	case r.Method == http.MethodPut:
		api.put(w, r, bucket, object)
	default:
		r.URL, _ = url.Parse("/download/storage/v1/b/" + bucket + "/o/" + object + "?alt=media")
		api.server.HTTPHandler().ServeHTTP(w, r)
	}
}

// The answer of the JSON API.
func (api xmlAPI) ask(r *http.Request, method, target string, body io.Reader) *httptest.ResponseRecorder {
	request, err := http.NewRequestWithContext(r.Context(), method, "http://"+r.Host+target, body)
	answer := httptest.NewRecorder()
	if err != nil {
		answer.Code = http.StatusBadRequest
		return answer
	}
	api.server.HTTPHandler().ServeHTTP(answer, request)
	return answer
}

func (api xmlAPI) put(w http.ResponseWriter, r *http.Request, bucket, object string) {
	name, err := url.PathUnescape(object)
	if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidURI", err.Error())
		return
	}
	query := url.Values{"uploadType": {"media"}, "name": {name}}
	if generation := r.Header.Get("x-goog-if-generation-match"); generation != "" {
		query.Set("ifGenerationMatch", generation)
	}
	answer := api.ask(r, http.MethodPost, "/upload/storage/v1/b/"+bucket+"/o?"+query.Encode(), r.Body)
	var created struct{ Etag, Generation string }
	switch answer.Code {
	case http.StatusOK:
		if err := json.Unmarshal(answer.Body.Bytes(), &created); err != nil {
			refuse(w, http.StatusInternalServerError, "InternalError", err.Error())
			return
		}
		w.Header().Set("ETag", strconv.Quote(strings.Trim(created.Etag, `"`)))
		w.Header().Set("x-goog-generation", created.Generation)
	case http.StatusPreconditionFailed:
		refuse(w, answer.Code, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")
	default:
		refuse(w, answer.Code, "InternalError", answer.Body.String())
	}
}

type listed struct {
	XMLName     xml.Name `xml:"ListBucketResult"`
	IsTruncated bool
	Next        string `xml:"NextContinuationToken,omitempty"`
	Contents    []content
}

type content struct {
	Key          string
	Size         int64
	LastModified string
	ETag         string
}

func (api xmlAPI) list(w http.ResponseWriter, r *http.Request, bucket string) {
	query := r.URL.Query()
	limit, err := strconv.Atoi(query.Get("max-keys"))
	if err != nil {
		limit = 1000
	}
	page, err := api.server.ListObjectsWithOptionsPaginated(bucket, fakestorage.ListOptions{
		Prefix: query.Get("prefix"), MaxResults: limit, PageToken: query.Get("continuation-token"),
	})
	if err != nil {
		refuse(w, http.StatusInternalServerError, "InternalError", err.Error())
		return
	}
	result := listed{IsTruncated: page.NextPageToken != "", Next: page.NextPageToken}
	for _, object := range page.Objects {
		result.Contents = append(result.Contents, content{
			object.Name, object.Size, object.Updated.UTC().Format(time.RFC3339), strconv.Quote(object.Etag),
		})
	}
	w.Header().Set("Content-Type", "application/xml")
	fmt.Fprint(w, xml.Header)
	if err := xml.NewEncoder(w).Encode(result); err != nil {
		log.Print(err)
	}
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>", code)
	_ = xml.EscapeText(w, []byte(message))
	fmt.Fprint(w, "</Message></Error>")
}
