package record

import (
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
