# The two commands of the README are `make run` and `make test`; `make help` lists the others.
# Nothing here needs a terminal or input; every target can be run again at any time.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

DATA_DIR ?= ./data
CONSOLE ?=
ROUNDS ?= 50
WATCH_ROUNDS ?= 200
SEEDS ?= 1000
HOURS ?=
SCENARIO ?= both
FUZZ_SECONDS ?= 10
MINUTES ?= 30
SOAK_RATE ?= 2000
CANARY_SEEDS ?= 2000
PYTHON := .venv/bin/python
BINARY := .build/release/profiled

.PHONY: format lint help run demo test build deps test-deps proto check-generated unit clients bench bench-snapshot bench-replay bench-projects bench-keys bench-watch bench-scans bench-export bench-import isolation-timing key-churn-test sanitize fuzz fuzz-deps kill-test history-test power-cut-test crash-state-test file-fault-test network-fault-test rolling-restart-test race-test soak-test watch-kill-test model-test disk-full-test snapshot-kill-test slow-disk-test resource-test snapshot-damage-test log-damage-test snapshot-crash-test simulate simulate-canaries deb deb-deps deb-test sbom clean build-tls bench-check bench-record bench-peers peer-deps

help: ## lists the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /|/' | awk -F'|' '{printf "  make %-16s %s\n", $$1, $$2}'

run: deps build ## installs what is missing, builds, starts the service on ./data (DATA_DIR; CONSOLE=127.0.0.1:9465: with the profile page)
	exec $(BINARY) --data-dir $(DATA_DIR) $(if $(CONSOLE),--console-listen $(CONSOLE))

test: deps test-deps ## installs what is missing, builds, then every test
	scripts/test.sh

demo: deps build ## imports a shop of 500 people, shows three, kills the service, proves that nothing is missing
	@scripts/install.sh python3
	scripts/demo.sh

build: deps ## release build of profiled, profilectl and profile-bench
	swift build -c release

build-tls: deps ## the same with TLS, by OpenSSL 3, in .build/tls/release
	@scripts/install.sh libssl-dev
	swift build -c release --traits TLS --scratch-path .build/tls --product profiled
	swift build -c release --traits TLS --scratch-path .build/tls --product profilectl
	swift build -c release --traits TLS --scratch-path .build/tls --product profile-bench

deps: ## libraries that the default build needs
	@scripts/install.sh libnghttp2-dev libprotobuf-c-dev pkg-config

test-deps: deb-deps ## programs and the Python environment that the tests need
	@scripts/install.sh gcc python3-venv nghttp2-client curl strace e2fsprogs protobuf-c-compiler protobuf-compiler libprotobuf-dev
	@scripts/install.sh chromium chromium-driver fonts-dejavu-core
	@scripts/install.sh libssl-dev openssl valgrind lintian groff systemd zsh
	@scripts/python-environment.sh
	@scripts/promtool.sh

proto: ## makes Generated/ anew from Protos/
	@scripts/install.sh protobuf-c-compiler protobuf-compiler libprotobuf-dev
	Protos/generate.sh

check-generated: ## proves that Generated/ is what Protos/ gives
	Protos/check-generated.sh

format: ## formats Swift and breaks long comments
	swift format --in-place --parallel --recursive Sources Tests Package.swift
	scripts/wrap_comments.py

lint: ## everything that is untidy: formatting, lengths, dead names, unsafe code, private words
	scripts/tidy/__main__.py

unit: deps ## unit tests alone
	swift test

clients: deps test-deps build ## real clients against the real binary
	PROFILED=$(CURDIR)/$(BINARY) $(PYTHON) -m pytest Tests/clients -q

tls-test: deps test-deps build-tls ## the build with TLS, its clients and probes (S1, S2)
	PROFILED=$(CURDIR)/.build/tls/release/profiled $(PYTHON) -m pytest Tests/clients/test_tls.py Tests/clients/test_mutual_tls.py -q

fuzz-deps: deps ## the runtime of libFuzzer is part of the Swift toolchain; it needs the C++ library
	@scripts/install.sh g++

fuzz: fuzz-deps ## libFuzzer on every reader of foreign bytes, FUZZ_SECONDS each (10)
	FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/fuzz.sh

kill-test: deps test-deps build ## kill -9 under load (ROUNDS)
	PROFILED=$(CURDIR)/$(BINARY) PROFILES_KILL_ROUNDS=$(ROUNDS) $(PYTHON) -m pytest Tests/clients/test_kill.py -q -s

history-test: deps test-deps build ## histories of kills under load are linearizable per key, and wrong ones are found (F17, ROUNDS)
	PROFILED=$(CURDIR)/$(BINARY) PROFILES_KILL_ROUNDS=$(ROUNDS) $(PYTHON) -m pytest Tests/clients/test_histories.py Tests/clients/test_kill.py -q -s

power-cut-test: deps test-deps build ## 300 power cuts, by replay of recorded system calls (F2)
	PROFILED=$(CURDIR)/$(BINARY) PROFILES_POWER_CUTS=300 $(PYTHON) -m pytest Tests/clients/test_power_cuts.py -q -s -k 'F2 or without_syncs'

crash-state-test: deps test-deps build ## every prefix of recorded system calls, and 10,000 states that a power cut may leave (F3)
	PROFILED=$(CURDIR)/$(BINARY) PROFILES_CRASH_STATES=10000 $(PYTHON) -m pytest Tests/clients/test_crash_disk.py Tests/clients/test_power_cuts.py -q -s -k F3

file-fault-test: deps test-deps build ## each of the first 200 syncs and writes fails: EIO, no space, short (F8, F9)
	PROFILED=$(CURDIR)/$(BINARY) PROFILES_FILE_FAULTS=200 $(PYTHON) -m pytest Tests/clients/test_file_faults.py -q -s

network-fault-test: deps test-deps build ## killed, reset, silent and slow connections for a minute (F15)
	PROFILED=$(CURDIR)/$(BINARY) PROFILES_NETWORK_SECONDS=60 $(PYTHON) -m pytest Tests/clients/test_network_faults.py -q -s

rolling-restart-test: deps test-deps build ## 30 restarts by SIGTERM under load (F16)
	PROFILED=$(CURDIR)/$(BINARY) PROFILES_RESTARTS=30 $(PYTHON) -m pytest Tests/clients/test_rolling_restart.py -q -s

race-test: deps test-deps ## the thread sanitizer over the unit tests, 20,000 requests and 50 kills under load (F19)
	KILL_ROUNDS=50 scripts/sanitize.sh thread

soak-test: deps test-deps build ## a load beside floods: level memory and descriptors, no failed call (F20, MINUTES, SOAK_RATE)
	PROFILED=$(CURDIR)/$(BINARY) PROFILES_SOAK_SECONDS=$$(( $(MINUTES) * 60 )) PROFILES_SOAK_RATE=$(SOAK_RATE) $(PYTHON) -m pytest Tests/clients/test_soak.py -q -s

disk-full-test: deps test-deps build ## a full disk, emptied and filled again, 50 rounds (F10)
	PROFILED=$(CURDIR)/$(BINARY) PROFILES_DISK_ROUNDS=50 $(PYTHON) -m pytest Tests/clients/test_disk_full.py -q -s

snapshot-kill-test: deps test-deps build ## killed at each system call of a snapshot, 200 points (F11)
	PROFILED=$(CURDIR)/$(BINARY) PROFILES_SNAPSHOT_POINTS=200 $(PYTHON) -m pytest Tests/clients/test_snapshot_kill.py -q -s

slow-disk-test: deps test-deps build ## each fdatasync 300 ms to 5 s late (F13)
	PROFILED=$(CURDIR)/$(BINARY) PROFILES_SYNC_DELAYS=300,1000,5000 $(PYTHON) -m pytest Tests/clients/test_slow_disk.py -q -s

resource-test: deps test-deps build ## no descriptors, no memory, interrupted calls, a stop of 10 s (F14)
	PROFILED=$(CURDIR)/$(BINARY) PROFILES_STOP_SECONDS=10 $(PYTHON) -m pytest Tests/clients/test_resources.py -q -s

attack: deps test-deps build ## floods A1-A15 beside a client that behaves: cut or bounded, memory, latency (ATTACK_DOSE, ATTACK_SECONDS)
	PROFILED=$(CURDIR)/$(BINARY) $(PYTHON) Tests/clients/attack_table.py

key-churn-test: deps test-deps build ## keys created and revoked each 10 ms under load, for a minute
	PROFILED=$(CURDIR)/$(BINARY) PROFILES_CHURN_SECONDS=60 $(PYTHON) -m pytest Tests/clients/test_key_churn.py -q -s

isolation-timing: deps test-deps build ## whether response times tell what another project has, 10,000 pairs each (ISOLATION_PAIRS)
	PROFILED=$(CURDIR)/$(BINARY) $(PYTHON) Tests/clients/isolation_timing.py

log-damage-test: deps ## blocks of the log zeroed, stale, swapped, written over each other (F6)
	PROFILES_DAMAGE_FRAMES=1500 PROFILES_DAMAGE_SEGMENT_BYTES=32768 PROFILES_DAMAGE_PAIRS=2500 swift test --filter LogBlockDamageTests 2>&1 | grep -E '^F6|✘|error:|Test run'

snapshot-damage-test: deps ## the same and every bit, on snapshots (F7)
	PROFILES_DAMAGE_BLOCKS=300 PROFILES_DAMAGE_BIT_BLOCKS=12 PROFILES_DAMAGE_PAIRS=3000 swift test --filter 'SnapshotDamageTests|SnapshotBlockTests' 2>&1 | grep -E '^F7|✘|error:|Test run'

snapshot-crash-test: deps ## a crash and a power cut at every call of snapshots and removals, on the simulated disk (F11)
	PROFILES_CRASH_ROUNDS=12 PROFILES_CRASH_SAMPLES=10 swift test --filter SnapshotPowerCutTests 2>&1 | grep -E '^F11|✘|error:|Test run'

simulate: deps build ## whole nodes in a simulated world, SEEDS of them or HOURS long (SCENARIO: local, replicated, both)
	.build/release/profile-simulator run --scenario $(SCENARIO) $(if $(HOURS),--hours $(HOURS),--seeds $(SEEDS))

watch-kill-test: deps test-deps build ## kill -9 under load with watchers and consumers of triggers (WATCH_ROUNDS)
	PROFILED=$(CURDIR)/$(BINARY) PROFILES_WATCH_KILL_ROUNDS=$(WATCH_ROUNDS) $(PYTHON) -m pytest Tests/clients/test_watch_kill.py -q -s

simulate-canaries: deps ## each deliberate fault of a build of its own must be found by a simulation (CANARY_SEEDS, 2,000)
	CANARY_SEEDS=$(CANARY_SEEDS) scripts/canaries.sh

model-test: deps test-deps build ## the reference model against the service (SEEDS)
	PROFILED=$(CURDIR)/$(BINARY) PROFILES_MODEL_SEEDS=$(SEEDS) PROFILES_MODEL_STRICT=1 $(PYTHON) -m pytest Tests/clients/test_reference_model.py -q -s

sanitize: deps test-deps ## thread and address sanitizers over the tests and a 20,000-request run
	scripts/sanitize.sh

bench: deps test-deps build ## CPU per request beside the floor, interleaved (Benchmarks/README.md)
	Benchmarks/compare.sh

bench-snapshot: deps build ## latency beside a snapshot of a million profiles, and starts from it
	Benchmarks/snapshot.sh

bench-replay: deps build ## commands a second that a start replays
	Benchmarks/replay.sh

bench-projects: deps build ## 10,000 projects beside one: bytes per profile, CPU per Track, starts
	Benchmarks/projects.sh

bench-keys: deps build ## CPU per Track with a key and without
	Benchmarks/keys.sh

bench-watch: deps build ## catch-up of a watcher, CPU per Track with one, 1,000 watchers beside a load
	Benchmarks/watch.sh

bench-scans: deps build ## counts and pages over 1,000,000 profiles, and a load beside counts
	Benchmarks/scans.sh

bench-export: deps build ## an export of a million profiles, and Tracks beside it
	Benchmarks/export.sh

bench-import: deps build ## an import of a million people and ten million events, and Tracks beside one
	Benchmarks/import.sh

deb-deps: ## programs that make a package
	@scripts/install.sh dpkg-dev binutils python3

deb: deps deb-deps build ## a Debian package of the release build (docs/packaging.md)
	packaging/debian/build.sh

deb-test: deps test-deps build ## installs, starts, upgrades, removes and purges the package in a Debian of its own
	@scripts/install.sh mmdebstrap
	PROFILED=$(CURDIR)/$(BINARY) PROFILES_DEBIAN_ROOT=make $(PYTHON) -m pytest Tests/clients/test_package_installed.py -q -s

sbom: deps deb-deps build ## what a build consists of, as an SPDX 2.3 document
	@scripts/sbom.py

bench-tls: deps test-deps build-tls ## CPU per Track over TLS beside a static file of nghttpd, interleaved
	@scripts/install.sh nghttp2-server
	Benchmarks/tls.sh

peer-deps: ## what the peers of bench-peers need; starts no daemon
	@scripts/install.sh g++ gcc pkg-config python3 nghttp2-client nghttp2-server redis-tools libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc

bench-peers: deps peer-deps build ## beside a C floor, nghttpd, gRPC C++ and Redis, into docs/benchmarks (BENCH_ROUNDS, BENCH_SECONDS)
	Benchmarks/peers.sh

bench-check: deps test-deps build ## instructions and allocator calls of the hot paths, within 3 % of Benchmarks/thresholds.json
	Benchmarks/check.py

bench-record: deps test-deps build ## writes them into Benchmarks/thresholds.json, for a change that is meant
	Benchmarks/check.py --record

clean: ## removes what builds and tests have made
	rm -rf .build .build-* .venv
