package web

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"rsc.io/qr"
)

// maxQR bounds the text of a picture: tickets have some hundred characters, and the largest code holds 2,953.
const maxQR = 2900

// qrCode draws the body as a code: the side of the square in modules, and an SVG path of the dark ones. It is a POST
// because a ticket may be a secret, and what is in a URL ends up in histories.
func qrCode(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxQR))
	if err != nil || len(text) == 0 {
		writeJSON(w, http.StatusBadRequest, refusal{Type: "urn:shoal:problem:bad_request", Status: http.StatusBadRequest, Code: "bad_request", ExitCode: 2,
			Title: fmt.Sprintf("a text of 1 to %d bytes is needed", maxQR)})
		return
	}
	code, err := qr.Encode(string(text), qr.L)
	if err != nil {
		writeJSON(w, http.StatusBadRequest, refusal{Type: "urn:shoal:problem:bad_request", Status: http.StatusBadRequest, Code: "bad_request", ExitCode: 2,
			Title: "no picture can be made of this text"})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"size": code.Size, "path": outline(code)})
}

// outline has one run of dark modules a step.
func outline(code *qr.Code) string {
	var b strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			run := 0
			for code.Black(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", x, y, run, run)
				x += run
			}
		}
	}
	return b.String()
}
