package record

import (
	"errors"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/record"
	"google.golang.org/protobuf/proto"
)

// sealRaw signs any bytes as a payload.
func sealRaw(k kind, payload []byte, key crypto.PrivKey) ([]byte, error) {
	env, err := record.Seal(&envelope{kind: k, payload: payload}, key)
	if err != nil {
		return nil, err
	}
	return env.Marshal()
}

// sealWithAnyKey is seal without the refusal of other keys than Ed25519.
func sealWithAnyKey(k kind, m proto.Message, key crypto.PrivKey) ([]byte, error) {
	payload, err := encode(m)
	if err != nil {
		return nil, err
	}
	return sealRaw(k, payload, key)
}

// otherType is an envelope of the right domain that says it is something else.
type otherType struct{ envelope }

func (*otherType) Codec() []byte { return []byte("/shoal/other/1") }

func TestPayloadTypeIsChecked(t *testing.T) {
	w := newWorld(t)
	payload := must(encode(must(w.config.encode())(t)))(t)
	env, err := record.Seal(&otherType{envelope{kind: kindConfig, payload: payload}}, w.owner.key)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenConfig(must(env.Marshal())(t), w.genesis); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v, want ErrMalformed", err)
	}
}

func TestGenesisByAStranger(t *testing.T) {
	w := newWorld(t)
	b := must(seal(kindGenesis, must(w.genesis.encode())(t), w.stranger.key))(t)
	if _, _, err := OpenGenesis(b); !errors.Is(err, ErrForged) {
		t.Errorf("got %v, want ErrForged", err)
	}
}
