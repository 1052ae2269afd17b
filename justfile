# Every recipe is one line that also works without just.
default:
    @just --list

# share, fetch, kill and verify on six real nodes on this machine
demo *A:
    go run ./cmd/node testnet demo {{A}}

build:
    go build -trimpath -o bin/ ./cmd/node

# installs the binary as `shoal`, a name that collides with nothing
install DIR="/usr/local/bin": build
    install -m 755 bin/node {{DIR}}/shoal

test:
    go test ./...

race:
    go test -race -count=1 -timeout 20m ./blockstore/badgerstore ./blockstore/memstore ./blockstore/worktree ./protocols/... ./discovery/... ./node/... ./testnet/control ./testnet/link ./testnet/oracle

lint:
    test -z "$(gofmt -l .)" && go vet ./... && go tool -modfile=cmd/tools.mod staticcheck ./...

# plays seeds of the election simulator on all cores; a failing one prints its replay command
sim SEEDS="20000" FROM="1":
    go test ./testnet/sim -count=1 -timeout 24h -run 'TestSim$' -v -seeds {{trim_start_match(SEEDS, "SEEDS=")}} -from {{FROM}}

fuzz T="10s":
    bash .ci/fuzz {{T}}

# wall, CPU, memory and bytes beside rsync, aria2 and cp
bench-peers *A:
    go run ./testnet/benchpeers {{A}}

# plays every scenario N times over real nodes, with another seed each time
scenarios N="1":
    go test ./testnet -count=1 -timeout 12h -run TestScenarios -v -rounds {{N}}

# kills, parts, stops and slows real nodes; prints how long a set was without service and what was lost
chaos *A:
    go run ./testnet/chaos {{A}}

bench PKG="./...":
    go test -run '^$' -bench . -benchmem {{PKG}}

# builds twice in different folders and compares
reproducible:
    bash .ci/reproducible

generate:
    bash .ci/generate

ci:
    bash .ci/run
