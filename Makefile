# The two commands: `make demo` and `make test`. Both install what is missing and build first.
BUILD ?= build
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
FUZZ_SECONDS ?= 60
ARGS ?=
CMAKE_FLAGS ?=

.PHONY: help setup build test test-long demo train_large_ane bench check format sanitized sanitize fuzz build-clang clean

help:
	@echo "make demo         install what is missing, build, and train a small language model on the emulated engine"
	@echo "make test         install what is missing, build, and run the tests"
	@echo "make train_large_ane  train Stories110M with weights compiled in and norm, classifier and softmax on the engine too"
	@echo "make setup        only install what is missing"
	@echo "make build        the program, in $(BUILD)/pome"
	@echo "make test-long    the tests that take minutes"
	@echo "make train        train Stories110M with the pipeline that the chip is best at; goes on where it was stopped"
	@echo "make train_large  the same with weights compiled into programs, the published optimizer"
	@echo "make train_dynamic  the same with weights as inputs (ARGS=\"--set section.key=value\" and POME_DATA, POME_WEIGHTS for all three)"
	@echo "make bench        measure a training step, matrix products and generation; writes $(BUILD)/bench/*.json"
	@echo "make check        formatting of the sources, and which room includes which"
	@echo "make sanitize     the unit tests under the address and undefined-behaviour sanitizers"
	@echo "make sanitize-threads  tests that share memory between threads, under ThreadSanitizer"
	@echo "make fuzz         every reader for FUZZ_SECONDS=$(FUZZ_SECONDS)"
	@echo "make build-clang  everything with clang"
	@echo "make install      program, library and headers, to PREFIX"
	@echo "make cross-macos  on Linux: compile and link everything for macOS on Apple silicon"
	@echo "make test-neon    on Linux: the vector kernels for aarch64, tested under qemu"
	@echo "make clean"

setup:
	@sh scripts/setup.sh

$(BUILD)/build.ninja:
	@cmake -S . -B $(BUILD) -G Ninja $(CMAKE_FLAGS)

build: setup $(BUILD)/build.ninja
	@cmake --build $(BUILD) -j $(JOBS)

test: build
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS) -LE long

test-long: build
	@ctest --test-dir $(BUILD) --output-on-failure -L long

demo: build
	@sh scripts/demo.sh $(BUILD)

train_large_ane: build
	@sh scripts/train.sh $(BUILD) train_large_ane stories110M_ane static-extras $(ARGS)

bench: build
	@sh scripts/bench.sh $(BUILD)

.PHONY: train train_large train_dynamic
train: build
	@sh scripts/train.sh $(BUILD) train stories110M auto $(ARGS)

train_large: build
	@sh scripts/train.sh $(BUILD) train_large stories110M_static static $(ARGS)

train_dynamic: build
	@sh scripts/train.sh $(BUILD) train_dynamic stories110M dynamic $(ARGS)

check: setup
	@sh scripts/check_format.sh
	@python3 scripts/check_floors.py

format: setup
	@find src include cmake tests bench examples -name '*.cc' -o -name '*.h' | xargs clang-format -i

# Tests and fuzzers with clang, the sanitizers and coverage for the fuzzer: one tree serves both.
sanitized: setup
	@cmake -S . -B $(BUILD)-sanitize -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O1 -g1" -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ -DPOME_FUZZ=ON -DPOME_SANITIZE=address,undefined -DPOME_BENCH=OFF -DPOME_PRECOMPILE=ON
	@cmake --build $(BUILD)-sanitize -j $(JOBS)

sanitize: sanitized
	@ASAN_OPTIONS=allocator_may_return_null=1 sh scripts/run_tests.sh $(BUILD)-sanitize $(JOBS)

.PHONY: sanitize-threads
sanitize-threads: setup
	@cmake -S . -B $(BUILD)-threads -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O1 -g1" -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ -DPOME_SANITIZE=thread -DPOME_BENCH=OFF -DPOME_PRECOMPILE=ON -DPOME_EXAMPLES=OFF
	@cmake --build $(BUILD)-threads -j $(JOBS) -t pome_apple_tests
	@$(BUILD)-threads/pome_apple_tests --gtest_brief=1

fuzz: sanitized
	@sh scripts/run_fuzzers.sh $(BUILD)-sanitize $(FUZZ_SECONDS)

build-clang: setup
	@cmake -S . -B $(BUILD)-clang -G Ninja -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++
	@cmake --build $(BUILD)-clang -j $(JOBS)

PREFIX ?= /usr/local
.PHONY: install cross-macos test-neon
install: build
	@cmake --install $(BUILD) --prefix $(PREFIX)

# Folders beside each other: neither shares anything with a build for this machine.
cross-macos: setup
	@mkdir -p $(BUILD)-cross
	@sh scripts/cross_macos.sh $(BUILD)-cross/macos

test-neon: setup
	@mkdir -p $(BUILD)-cross
	@sh scripts/test_neon.sh $(BUILD)-cross/neon

clean:
	@rm -rf $(BUILD) $(BUILD)-sanitize $(BUILD)-threads $(BUILD)-clang $(BUILD)-cross
