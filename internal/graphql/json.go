package graphql

import (
	"bytes"
	"encoding/json"
	"io"
)

// deepestJSON bounds how deep a body may nest.
const deepestJSON = 64

// normal is a JSON text in its one form: no spaces, texts escaped in one way, and in no object a key that comes twice, of
// which one program takes the first and another the last. Numbers keep their digits.
func normal(b []byte) (json.RawMessage, error) {
	n := normalizer{dec: json.NewDecoder(bytes.NewReader(b))}
	n.dec.UseNumber()
	if err := n.value(deepestJSON); err != nil {
		return nil, errNot
	}
	if _, err := n.dec.Token(); err != io.EOF {
		return nil, errNot
	}
	return n.out.Bytes(), nil
}

type normalizer struct {
	dec *json.Decoder
	out bytes.Buffer
}

func (n *normalizer) value(levels int) error {
	t, err := n.dec.Token()
	if err != nil {
		return err
	}
	switch t := t.(type) {
	case json.Delim:
		if levels == 0 {
			return errNot
		}
		return n.members(t, levels-1)
	case json.Number:
		n.out.WriteString(t.String())
	case string:
		n.out.Write(text(t))
	case bool:
		if t {
			n.out.WriteString("true")
		} else {
			n.out.WriteString("false")
		}
	default:
		n.out.Write(null)
	}
	return nil
}

func (n *normalizer) members(open json.Delim, levels int) error {
	n.out.WriteByte(byte(open))
	keys := map[string]bool{}
	for first := true; n.dec.More(); first = false {
		if !first {
			n.out.WriteByte(',')
		}
		if open == '{' {
			t, err := n.dec.Token()
			if err != nil {
				return err
			}
			key, ok := t.(string)
			if !ok || keys[key] {
				return errNot
			}
			keys[key] = true
			n.out.Write(text(key))
			n.out.WriteByte(':')
		}
		if err := n.value(levels); err != nil {
			return err
		}
	}
	end, err := n.dec.Token()
	if err != nil {
		return err
	}
	n.out.WriteByte(byte(end.(json.Delim)))
	return nil
}

// text is a JSON text; every text of Go's has one.
func text(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		return []byte(`""`)
	}
	return b
}
