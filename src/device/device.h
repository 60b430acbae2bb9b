#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "device/lint.h"
#include "device/process.h"
#include "device/profile.h"
#include "device/surface.h"
#include "mil/weights.h"

namespace pome::device {

/// One surface per input and output of a program, by name. The surfaces stay the caller's.
struct Bindings {
    std::map<std::string, const Surface*, std::less<>> inputs;
    std::map<std::string, Surface*, std::less<>> outputs;
};

/// What one operation's arithmetic did in the evaluations so far, where the device counts it.
struct OperationCounts {
    std::string op;              ///< "matmul"
    std::string value;           ///< its first result
    int line = 0;                ///< of the text; 0 when the program was built
    std::int64_t saturated = 0;  ///< results that are infinite
    std::int64_t coerced = 0;    ///< operands that were NaN, and indeterminate forms: no NaN leaves
    std::int64_t vanished = 0;   ///< products of non-zero factors that were dropped
    friend bool operator==(const OperationCounts&, const OperationCounts&) = default;
};

/// What the engine's arithmetic did to the values of the evaluations so far, where the device can
/// tell.
struct Arithmetic {
    std::int64_t saturated = 0;  ///< results that left the engine's range and became infinite
    std::int64_t slow_blocks =
        0;  ///< parts of products whose bounds failed, so that they were done step by step
};

/// Memory of a compiled program on a device that evaluates in the host's memory.
struct MemoryUse {
    /// Of everything that the last evaluation held: surfaces, constants, values, packed operands.
    std::int64_t peak_bytes = 0;
    /// What the program's values need at least (mil/passes/liveness.h); 0: the device cannot tell.
    std::int64_t live_bytes = 0;
};

/// A compiled program.
class Executable {
  public:
    virtual ~Executable() = default;

    const std::vector<mil::NamedType>& inputs() const { return inputs_; }
    const std::vector<mil::NamedType>& outputs() const { return outputs_; }

    /// Runs the program once; when it returns, every output surface holds this run's result.
    ///
    /// LIFETIME: surfaces stay the caller's; none may be freed or written until this returns. An
    /// output may not be bound to the surface of an input. THREADS:  one evaluate() at a time per
    /// Executable. Throws Error{binding_missing | surface_mismatch} naming the surface and both
    /// types, or
    ///        Error{evaluation_failed} in the device's own words; then no output may be read.
    /// Surfaces that have an allocation of their own must keep the profile's rules about it.
    void evaluate(const Bindings& bindings);

    /// One evaluation of a program with one input and one output, both fp16 or fp32: the output's
    /// elements for the input's, in the surfaces' order. fp16 rounds to nearest even. Makes its
    /// surfaces anew: for a call now and then. Throws what evaluate() does, Error{surface_mismatch}
    /// for another number of elements, Error{unsupported} for a program of another kind.
    std::vector<float> apply(std::span<const float> x);

    virtual Arithmetic arithmetic() const { return {}; }
    /// Operations for which something was counted, in the order of the program; see the device's
    /// options for what is.
    virtual std::vector<OperationCounts> operation_counts() const { return {}; }
    /// After an evaluation.
    virtual MemoryUse memory() const { return {}; }
    std::int64_t evaluations() const { return evaluations_; }

  protected:
    Executable(std::vector<mil::NamedType> inputs, std::vector<mil::NamedType> outputs)
        : inputs_(std::move(inputs)), outputs_(std::move(outputs)) {}
    virtual void run(const Bindings& bindings) = 0;

  private:
    friend class Device;
    void check_allocations(const Bindings& bindings) const;
    [[noreturn]] void fail_evaluation(const std::string& reason) const;

    std::vector<mil::NamedType> inputs_;
    std::vector<mil::NamedType> outputs_;
    std::int64_t evaluations_ = 0;
    // Of the device that compiled it.
    SurfaceRules surface_rules_;
    Reaction unequal_sizes_ = Reaction::works;
    Strictness strictness_ = Strictness::strict;
    std::vector<Finding> silent_;  ///< what the chip gets wrong without a word
    std::shared_ptr<Process> process_;
    std::shared_ptr<void> loaded_;
};

/// Something that compiles and evaluates MIL programs.
class Device {
  public:
    virtual ~Device() = default;

    virtual std::string name() const = 0;  ///< "reference", "emulator:m4"
    virtual const Profile& profile() const = 0;
    virtual Strictness strictness() const { return Strictness::strict; }
    /// Whether evaluations run on the processors that the host computes with: true for everything
    /// that stands in for an engine.
    virtual bool uses_host_processors() const { return true; }

    /// Compiles one function. Throws Error{malformed_program} for programs that do not verify and
    /// Error{compile_failed} naming the operation and the reason for those that the device refuses:
    /// those that break a rule of the profile (strict) or that the chip does not compile
    /// (as_hardware), and all once the process has used up the route's budget of compiled or loaded
    /// programs. May be called by several threads, and while programs are evaluated; compiles run
    /// one at a time.
    std::unique_ptr<Executable> compile(const mil::Package& package,
                                        std::string_view function = "main");

    /// `watch` sees every program that is about to be built, one at a time, with the function asked
    /// for. Call before the first compile; a second call replaces the first's.
    using Watch = std::function<void(const mil::Package&, std::string_view function)>;
    void on_compile(Watch watch) { watch_ = std::move(watch); }

    /// Programs compiled so far. May be asked while another thread compiles.
    std::int64_t compiles() const { return compiles_.load(); }

  protected:
    explicit Device(std::shared_ptr<Process> process = nullptr)
        : process_(process ? std::move(process) : std::make_shared<Process>()) {}
    virtual std::unique_ptr<Executable> build(const mil::Package& package,
                                              std::string_view function) = 0;

  private:
    void check_budget() const;

    Watch watch_;
    std::mutex compile_mutex_;
    std::atomic<std::int64_t> compiles_{0};
    std::shared_ptr<Process> process_;
};

/// A program around a function in the dialect that the profile's compiler reads: terse 1.3, or
/// canonical 1.0 of opset ios16.
mil::Program program_for(mil::Function function, const Profile& profile);

/// The parameters and typed outputs of a function.
std::vector<mil::NamedType> output_types(const mil::Function& function);

}  // namespace pome::device
