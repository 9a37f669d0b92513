package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/gorilla/mux"
)

// floorEnv makes this program the floor.
const floorEnv = "FLOOR_OF_FLUXGATE"

// floor is what others are compared with: net/http and gorilla/mux, which read a
// request, answer 204, and do nothing else. It prints its address.
func floor() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr())
	panic(http.Serve(listener, floorRoutes()))
}

func floorRoutes() http.Handler {
	router := mux.NewRouter()
	router.HandleFunc("/flux/metric_data", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}).Methods(http.MethodGet)
	router.HandleFunc("/flux/metric_data_post", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}).Methods(http.MethodPost)
	return router
}

// startFloor starts this program as the floor.
func startFloor(dir string) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return start("floor", dir, []string{floorEnv + "=1", "GOGC=200"}, program) // as the core and the plugins have it
}
