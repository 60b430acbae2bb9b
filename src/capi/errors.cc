#include <cstring>

#include "base/version.h"
#include "capi/guard.h"

namespace pome::capi {
namespace {

struct LastError {
    pome_status status = POME_OK;
    std::string text;
    const char* shown = "";  // text, or a static sentence when there was no memory for it
};

LastError& mine() noexcept {
    thread_local LastError error;
    return error;
}

}  // namespace

pome_status keep_error(pome_status status, std::string_view text) noexcept {
    LastError& error = mine();
    error.status = status;
    try {
        error.text = text;
        error.shown = error.text.c_str();
    } catch (...) {
        error.shown = "[capi] not enough memory";
    }
    return status;
}

const char* last_error() noexcept {
    return mine().shown;
}

pome_status last_status() noexcept {
    return mine().status;
}

pome_status status_of(Code code) noexcept {
    switch (code) {
        case Code::invalid_argument:
            return POME_INVALID_ARGUMENT;
        case Code::malformed_file:
            return POME_MALFORMED_FILE;
        case Code::malformed_program:
            return POME_MALFORMED_PROGRAM;
        case Code::unsupported:
            return POME_UNSUPPORTED;
        case Code::io:
            return POME_IO;
        case Code::checkpoint_mismatch:
            return POME_CHECKPOINT_MISMATCH;
        case Code::surface_mismatch:
            return POME_SURFACE_MISMATCH;
        case Code::binding_missing:
            return POME_BINDING_MISSING;
        case Code::compile_failed:
            return POME_COMPILE_FAILED;
        case Code::evaluation_failed:
            return POME_EVALUATION_FAILED;
        case Code::diverged:
            return POME_DIVERGED;
        case Code::interrupted:
            return POME_INTERRUPTED;
    }
    return POME_INTERNAL;
}

}  // namespace pome::capi

using namespace pome::capi;

uint32_t pome_abi_version(void) {
    return POME_ABI_VERSION;
}

const char* pome_version(void) {
    return pome::version;
}

const char* pome_status_name(pome_status status) {
    switch (status) {
        case POME_OK:
            return "ok";
        case POME_INVALID_ARGUMENT:
            return "invalid argument";
        case POME_INVALID_HANDLE:
            return "invalid handle";
        case POME_MALFORMED_FILE:
            return "malformed file";
        case POME_MALFORMED_PROGRAM:
            return "malformed program";
        case POME_UNSUPPORTED:
            return "unsupported";
        case POME_IO:
            return "input or output failed";
        case POME_CHECKPOINT_MISMATCH:
            return "checkpoint mismatch";
        case POME_SURFACE_MISMATCH:
            return "surface mismatch";
        case POME_BINDING_MISSING:
            return "binding missing";
        case POME_COMPILE_FAILED:
            return "compile failed";
        case POME_EVALUATION_FAILED:
            return "evaluation failed";
        case POME_DIVERGED:
            return "diverged";
        case POME_INTERRUPTED:
            return "interrupted";
        case POME_OUT_OF_MEMORY:
            return "out of memory";
        case POME_INTERNAL:
            return "internal";
    }
    return "unknown status";
}

const char* pome_last_error(void) {
    return last_error();
}

pome_status pome_last_status(void) {
    return last_status();
}
