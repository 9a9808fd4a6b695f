// Package check is what the Go programs of this folder have in common and what
// has nothing to do with the SDK that each of them shows: it reads the
// environment, calls the protected resource and prints the result.
package check

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"runtime/debug"
	"strings"
	"time"
)

// Report is what a program prints: what the application's tokens opened, or
// the refusal that the caller of the SDK saw.
type Report struct {
	SDK      string         `json:"sdk"`
	Blobs    []string       `json:"blobs,omitempty"`
	Resource *Response      `json:"resource,omitempty"`
	Bad      map[string]int `json:"bad,omitempty"`
	Token    *Claims        `json:"token,omitempty"`
	Error    *Refusal       `json:"error,omitempty"`
}

// Response is an answer of the protected resource.
type Response struct {
	Status int             `json:"status"`
	Body   json.RawMessage `json:"body"`
}

// Claims are the claims that tell who got a token, and from whom.
type Claims struct {
	TID   string `json:"tid"`
	AppID string `json:"appid,omitempty"` // v1.0 tokens
	AZP   string `json:"azp,omitempty"`   // v2.0 tokens
	Iss   string `json:"iss"`
}

// Refusal is an error as the caller of the SDK sees it.
type Refusal struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Class   string `json:"class"`
}

// Main runs a program that shows the SDK in the given module and prints its
// report as the last line of standard output. A refusal is a result too: the
// status is 0 unless the program itself is broken.
func Main(module string, run func(context.Context) (blobs []string, resourceToken string, err error)) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	report := Report{SDK: Version(module)}
	blobs, token, err := run(ctx)
	if err != nil {
		report.Error = &Refusal{Code: code(err.Error()), Message: err.Error(), Class: class(err)}
	} else {
		report.Blobs, report.Token = blobs, claims(token)
		report.Resource = call(ctx, token)
		report.Bad = map[string]int{}
		for name, bad := range badTokens() {
			report.Bad[name] = call(ctx, bad).Status
		}
	}
	line, err := json.Marshal(report)
	if err != nil {
		fail(err)
	}
	fmt.Println(string(line))
}

// Env returns a variable that must be set.
func Env(name string) string {
	value := os.Getenv(name)
	if value == "" {
		fail(fmt.Errorf("%s is not set", name))
	}
	return value
}

// call presents a token to the protected resource.
func call(ctx context.Context, token string) *Response {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, Env("AVOUCH_RESOURCE_URL"), nil)
	if err != nil {
		fail(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		fail(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		fail(err)
	}
	return &Response{Status: resp.StatusCode, Body: body}
}

// badTokens are tokens that the protected resource must refuse, by name.
func badTokens() map[string]string {
	var tokens map[string]string
	if text := os.Getenv("AVOUCH_BAD_TOKENS"); text != "" {
		if err := json.Unmarshal([]byte(text), &tokens); err != nil {
			fail(fmt.Errorf("AVOUCH_BAD_TOKENS: %w", err))
		}
	}
	return tokens
}

// claims reads a token without verifying it, to show it. Verifying is the
// resource's business, never the client's.
func claims(token string) *Claims {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		fail(errors.New("the access token is not a JWT"))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		fail(err)
	}
	c := new(Claims)
	if err := json.Unmarshal(payload, c); err != nil {
		fail(err)
	}
	return c
}

var codePattern = regexp.MustCompile(`AADSTS\d+`)

func code(message string) string { return codePattern.FindString(message) }

// class names the innermost error that has a type of its own.
func class(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil || strings.HasPrefix(fmt.Sprintf("%T", inner), "*errors.") {
			return fmt.Sprintf("%T", err)
		}
		err = inner
	}
}

// Version gives a module's path base and version as they were linked.
func Version(module string) string {
	name := module[strings.LastIndex(module, "/")+1:]
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == module {
				return name + " " + dep.Version
			}
		}
	}
	return name
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
