package controlapi

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"github.com/avouch/avouch/internal/problem"
)

func readAll(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "the call could not be read to its end")
	}
	return body, nil
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"message":"the answer could not be written"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// A write error means that the caller has gone.
	_, _ = w.Write(data)
}

func itoa(i int) string { return strconv.Itoa(i) }
