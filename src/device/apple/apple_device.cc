#include "device/apple/apple_device.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <set>

#include "base/file.h"
#include "device/apple/canary.h"
#include "device/apple/child_trial.h"
#include "device/apple/io_surface.h"
#include "device/apple/model_directory.h"
#include "device/apple/program_files.h"
#include "device/apple/route.h"
#include "device/apple/timed_worker.h"
#include "mil/text.h"

namespace pome::device::apple {
namespace {

constexpr std::string_view here = "device.apple";
constexpr std::size_t remarks_kept = 16;
constexpr std::int64_t nan_first = 3, nan_period = 64;  // evaluations of a program

/// What an Objective-C exception becomes: what it was cannot be asked from C++.
struct ForeignException {};

/// The system as one device uses it. Executables keep it alive.
class Engine {
  public:
    Engine(const Options& options, std::shared_ptr<const Runtime> runtime, Machine machine)
        : options_(options),
          runtime_(std::move(runtime)),
          machine_(std::move(machine)),
          directories_(ModelDirectories::make(temporary())),
          deaths_(std::make_shared<std::atomic<std::uint64_t>>(0)) {}

    const Options& options() const { return options_; }
    const std::shared_ptr<const Runtime>& runtime() const { return runtime_; }
    const Machine& machine() const { return machine_; }
    const std::shared_ptr<ModelDirectories>& directories() const { return directories_; }
    TimedWorker& compiler() { return compiler_; }
    TimedWorker& evaluator() { return evaluator_; }
    std::mutex& binding_mutex() { return binding_mutex_; }
    std::uint64_t deaths() const { return deaths_->load(); }
    std::int64_t evaluations() const { return evaluations_.load(); }
    void count_evaluation() { ++evaluations_; }

    void use_route(std::unique_ptr<Route> route, const Profile& profile) {
        route_ = std::move(route);
        profile_ = profile;
    }
    Route& route() { return *route_; }
    const Profile& profile() const { return profile_; }

    std::shared_ptr<IoSurfaceMemory> memory_for(const Surface& surface, std::size_t bytes) {
        auto memory = current(surface);
        if (!memory || memory->size() < bytes) {
            memory = std::make_shared<IoSurfaceMemory>(runtime_, bytes, deaths_);
            surface.move_to(memory);
        }
        return memory;
    }
    /// The IOSurface that it has; nullptr: none yet.
    std::shared_ptr<IoSurfaceMemory> current(const Surface& surface) const {
        auto memory = std::dynamic_pointer_cast<IoSurfaceMemory>(surface.device_memory());
        return memory && memory->is_of(*runtime_) ? memory : nullptr;
    }

    bool is_stuck() const { return compiler_.is_stuck() || evaluator_.is_stuck(); }

    /// Calls the system on a worker, inside an autorelease pool. `work` must own what it uses.
    void call(TimedWorker& worker, double seconds, Code code, const std::string& title,
              std::string_view doing, std::function<void()> work) {
        if (is_stuck()) {
            fail(
                code, here,
                "{}: an earlier call of the system never returned; this process can use the engine "
                "no more, start again and resume",
                title);
        }
        auto pooled = [runtime = runtime_, work = std::move(work)] {
            const AutoreleasePool pool(*runtime);
            try {
                work();
            } catch (const Refusal&) {
                throw;
            } catch (const std::exception&) {
                throw;
            } catch (...) {
                throw ForeignException{};
            }
        };
        bool done = false;
        try {
            done = worker.run(std::chrono::duration<double>(seconds), std::move(pooled));
        } catch (const ForeignException&) {
            fail(
                code, here,
                "{}: {} by route {} ends with an Objective-C exception; the system's log (log show "
                "--last 1m) has its text; {}",
                title, doing, route_->name(), machine_.text());
        }
        if (!done) {
            fail(code, here,
                 "{}: {} by route {} has not returned after {:g} s; the compiler's service or the "
                 "driver hangs ({}). This process can use the engine no more: start again and "
                 "resume",
                 title, doing, route_->name(), seconds, machine_.text());
        }
    }

    /// The error of a refusal: what the system says, what is known of it, where the program is.
    [[noreturn]] void fail_refused(const Refusal& refusal, const std::string& title,
                                   std::int64_t evaluations, std::int64_t compiles) const {
        Circumstances now;
        now.compiles = compiles;
        now.compile_budget = profile_.limits.compile_budget;
        now.evaluations = evaluations;
        now.machine = machine_.text();
        fail(refusal.stage == Stage::evaluate ? Code::evaluation_failed : Code::compile_failed,
             here, "{}: {} fails by route {}: {}; {}{}", title, name(refusal.stage), route_->name(),
             refusal.error.line(), cause_of(refusal.stage, refusal.error, now), saved(refusal));
    }

    void remark(std::string text) {
        const std::lock_guard lock(remarks_mutex_);
        if (remarks_.size() < remarks_kept) {
            remarks_.push_back(std::move(text));
        }
    }
    std::vector<std::string> remarks() const {
        const std::lock_guard lock(remarks_mutex_);
        return remarks_;
    }

  private:
    std::filesystem::path temporary() const {
        const AutoreleasePool pool(*runtime_);
        return temporary_directory(*runtime_);
    }
    std::string saved(const Refusal& refusal) const {
        if (!refusal.files || !options_.keep_failed_programs) {
            return "";
        }
        try {
            const auto place = options_.failed_programs.empty() ? failed_programs_place()
                                                                : options_.failed_programs;
            return fmt::format("; its text and weights are in {}",
                               keep_failed_program(refusal.files->path(), place).string());
        } catch (const std::exception& error) {
            return fmt::format("; its files could not be kept: {}", error.what());
        }
    }

    Options options_;
    std::shared_ptr<const Runtime> runtime_;
    Machine machine_;
    std::shared_ptr<ModelDirectories> directories_;
    std::shared_ptr<std::atomic<std::uint64_t>> deaths_;
    std::unique_ptr<Route> route_;
    Profile profile_;
    TimedWorker compiler_, evaluator_;
    std::mutex binding_mutex_;
    std::atomic<std::int64_t> evaluations_{0};
    mutable std::mutex remarks_mutex_;
    std::vector<std::string> remarks_;
};

/// A request: surfaces bound to a program's inputs and outputs, in the order of their names.
struct Request {
    Reference object;
    std::vector<std::weak_ptr<IoSurfaceMemory>> memories;
    bool is_alive() const {
        return std::none_of(memories.begin(), memories.end(),
                            [](const auto& memory) { return memory.expired(); });
    }
};

bool holds_nan(const Surface& surface) {
    const auto* bytes = surface.bytes().data();
    const auto count = surface.elements();
    if (surface.type().dtype == DType::fp16) {
        const auto* halves = reinterpret_cast<const fp16*>(bytes);
        return std::any_of(halves, halves + count,
                           [](fp16 half) { return (half.bits & 0x7FFF) > 0x7C00; });
    }
    if (surface.type().dtype == DType::fp32) {
        const auto* floats = reinterpret_cast<const float*>(bytes);
        return std::any_of(floats, floats + count, [](float v) { return v != v; });
    }
    return false;
}

class AppleExecutable final : public Executable {
  public:
    AppleExecutable(std::shared_ptr<Engine> engine, std::shared_ptr<Model> model,
                    const mil::Function& function, std::string title)
        : Executable(function.parameters, output_types(function)),
          engine_(std::move(engine)),
          model_(std::move(model)),
          title_(std::move(title)) {
        const auto in_order = [](const std::vector<mil::NamedType>& declared) {
            std::vector<std::string> names;
            for (const auto& value : declared) {
                names.push_back(value.name);
            }
            std::sort(names.begin(), names.end());  // the engine binds in the order of names
            return names;
        };
        input_names_ = in_order(inputs());
        output_names_ = in_order(outputs());
    }
    ~AppleExecutable() override {
        requests_.clear();
        if (engine_->is_stuck()) {
            model_->abandon();
            return;
        }
        try {  // an unload may hang as well
            engine_->call(engine_->evaluator(), engine_->options().evaluate_seconds,
                          Code::evaluation_failed, title_, "an unload",
                          [model = std::move(model_)]() mutable { model.reset(); });
        } catch (const Error&) {  // whoever calls the device next is told
        }
    }

  private:
    using Memories = std::vector<std::shared_ptr<IoSurfaceMemory>>;

    void run(const Bindings& bindings) override {
        Memories memories = bind(bindings);
        auto request = find_request(memories);
        const auto work = [runtime = engine_->runtime(), model = model_, request,
                           memories = std::move(memories)] {
            for (const auto& memory : memories) {
                memory->release_to_engine();
            }
            model->evaluate(request->object.get());
        };
        try {
            engine_->call(engine_->evaluator(), engine_->options().evaluate_seconds,
                          Code::evaluation_failed, title_, "an evaluation", work);
        } catch (const Refusal& refusal) {
            engine_->fail_refused(refusal, title_, succeeded_, 0);
        }
        engine_->count_evaluation();
        ++succeeded_;
        if (engine_->options().check_nan &&
            (succeeded_ <= nan_first || succeeded_ % nan_period == 0)) {
            expect_no_nan(bindings);
        }
    }

    /// The IOSurfaces of all, inputs first; made, or made larger, where that is needed.
    Memories bind(const Bindings& bindings) {
        const std::lock_guard lock(engine_->binding_mutex());
        Memories memories;
        const auto add = [&](const std::vector<std::string>& names, const auto& bound) {
            const SurfaceRules& rules = engine_->profile().surfaces;
            std::vector<std::size_t> sizes;
            for (const std::string& name : names) {
                const Surface& surface = *bound.find(name)->second;
                const auto rounded = (surface.bytes_needed() + Surface::alignment - 1) /
                                     Surface::alignment * Surface::alignment;
                const auto memory = engine_->current(surface);
                sizes.push_back(std::max(
                    {surface.allocation() != 0
                         ? surface.allocation()
                         : std::max({rounded, static_cast<std::size_t>(rules.minimum_bytes),
                                     engine_->options().least_allocation}),
                     memory ? memory->size() : 0}));
            }
            const std::size_t largest =
                sizes.empty() ? 0 : *std::max_element(sizes.begin(), sizes.end());
            for (std::size_t i = 0; i < names.size(); ++i) {
                memories.push_back(engine_->memory_for(*bound.find(names[i])->second,
                                                       rules.equal_sizes ? largest : sizes[i]));
            }
        };
        add(input_names_, bindings.inputs);
        add(output_names_, bindings.outputs);
        return memories;
    }

    std::shared_ptr<Request> find_request(const Memories& memories) {
        if (const auto deaths = engine_->deaths(); deaths != deaths_seen_) {
            std::erase_if(requests_, [](const auto& entry) { return !entry.second->is_alive(); });
            deaths_seen_ = deaths;
        }
        std::vector<const void*> key;
        for (const auto& memory : memories) {
            key.push_back(memory.get());
        }
        auto& request = requests_[key];
        if (!request) {
            request = make_request(memories);
        }
        return request;
    }

    std::shared_ptr<Request> make_request(const Memories& memories) {
        auto request = std::make_shared<Request>();
        request->memories.assign(memories.begin(), memories.end());
        const auto count = static_cast<std::ptrdiff_t>(input_names_.size());
        const auto work = [request, memories, count, runtime = engine_->runtime()] {
            const Runtime& rt = *runtime;
            std::vector<Id> objects;
            for (const auto& memory : memories) {
                objects.push_back(memory->object());
            }
            const std::vector<Id> in(objects.begin(), objects.begin() + count),
                out(objects.begin() + count, objects.end());
            request->object =
                Reference(runtime, rt.send_class(api::make_request, make_array(rt, in),
                                                 make_indices(rt, in.size()), make_array(rt, out),
                                                 make_indices(rt, out.size()), nullptr, nullptr,
                                                 make_number(rt, 0)));
        };
        engine_->call(engine_->evaluator(), engine_->options().evaluate_seconds,
                      Code::evaluation_failed, title_, "making a request", work);
        if (request->object.get() == nullptr) {
            fail(Code::evaluation_failed, here,
                 "{}: the framework makes no request of {} inputs and {} outputs", title_,
                 input_names_.size(), output_names_.size());
        }
        return request;
    }

    void expect_no_nan(const Bindings& bindings) const {
        for (const auto& [name, surface] : bindings.outputs) {
            if (holds_nan(*surface)) {
                fail(Code::evaluation_failed, here,
                     "{}: output '{}' holds NaN after evaluation {}; the engine's arithmetic makes "
                     "none, so these are not its results",
                     title_, name, succeeded_);
            }
        }
    }

    std::shared_ptr<Engine> engine_;
    std::shared_ptr<Model> model_;
    std::string title_;
    std::vector<std::string> input_names_, output_names_;
    std::map<std::vector<const void*>, std::shared_ptr<Request>> requests_;
    std::uint64_t deaths_seen_ = 0;
    std::int64_t succeeded_ = 0;
};

class Opened final : public AppleDevice {
  public:
    Opened(const Options& options, std::shared_ptr<Process> process)
        : AppleDevice(process), process_(std::move(process)) {
        require_system(options.runtime);
        const auto runtime = Runtime::load(options.runtime);
        const Machine machine = read_machine(*runtime);
        require_engine(machine);
        runtime->require(Need::always);
        identification_ = identify(machine);
        engine_ = std::make_shared<Engine>(options, runtime, machine);
        if (!identification_.known) {
            engine_->remark(identification_.remark);
        }
        choose_route();
    }

    std::string name() const override {
        return fmt::format("apple:{}{}", engine_->route().name(),
                           is_stand_in() ? " (stand-in)" : "");
    }
    const Profile& profile() const override { return engine_->profile(); }
    bool uses_host_processors() const override { return is_stand_in(); }
    const Machine& machine() const override { return engine_->machine(); }
    const Runtime& runtime() const override { return *engine_->runtime(); }
    bool is_stand_in() const override { return engine_->runtime()->is_replacement(); }
    std::int64_t engine_evaluations() const override { return engine_->evaluations(); }
    std::vector<std::string> remarks() const override { return engine_->remarks(); }

  private:
    void choose_route() {
        std::string failures;
        const auto& routes = engine_->options().routes;
        for (const std::string& name : routes) {
            try {
                try_route(name);
                return;
            } catch (const Error& error) {
                // A wrong name or a broken file of results is the caller's, a hang ends what this
                // process can do.
                if (error.code() == Code::invalid_argument ||
                    error.code() == Code::malformed_file || engine_->is_stuck() ||
                    routes.size() == 1) {
                    throw;
                }
                engine_->remark(fmt::format("route {}: {}", name, error.message()));
                failures += fmt::format("\n  {}: {}", name, error.message());
            }
        }
        fail(Code::unsupported, here, "{}: no route to the engine works:{}",
             engine_->machine().text(), failures.empty() ? " none was given" : failures);
    }

    void try_route(const std::string& name) {
        auto route = make_route(name, engine_->runtime(), engine_->directories());
        const std::string profile_name = identification_.chip + "/" + name;
        const auto& chosen = engine_->options().profile;
        engine_->use_route(std::move(route), chosen ? chosen(profile_name, machine(), is_stand_in())
                                                    : find_profile(profile_name));
        if (engine_->options().trial != Trial::off) {
            run_trial_of({}, "the device's own check");
        }
        if (engine_->options().canary) {
            const auto compile = [&](const mil::Package& package) {
                const auto token =
                    Process::load(process_, profile().route, profile().failures.budget_reclaimed);
                return load(package, "main", program_files(package, "main"));
            };
            for (const auto& remark : check_known_answers(profile(), compile)) {
                engine_->remark(remark);
            }
        }
    }

    std::unique_ptr<Executable> build(const mil::Package& package,
                                      std::string_view function) override {
        const ProgramFiles files = program_files(package, function);
        // The same text with other weights, as the static pipeline compiles it, is no news.
        const bool is_new = known_texts_.insert(files.text_hash).second;
        if (is_new && engine_->options().trial == Trial::every) {
            const auto directory = engine_->directories()->unnamed(files);
            run_trial_of(directory->path(), files.title);
        }
        auto executable = load(package, function, files);
        if (is_new && engine_->options().canary) {
            const Verdict verdict = check_program(package, function, *executable);
            if (!verdict.matches && verdict.compared) {
                engine_->remark(fmt::format("canary of {}: {}", files.title, verdict.remark));
            }
        }
        return executable;
    }

    std::unique_ptr<Executable> load(const mil::Package& package, std::string_view function,
                                     const ProgramFiles& files) {
        const auto shared_files = std::make_shared<const ProgramFiles>(files);
        const auto loaded = std::make_shared<std::shared_ptr<Model>>();
        const auto work = [engine = engine_, shared_files, loaded] {
            *loaded = engine->route().load(*shared_files);
        };
        try {
            engine_->call(engine_->compiler(), engine_->options().compile_seconds,
                          Code::compile_failed, files.title, "compile or load", work);
        } catch (const Refusal& refusal) {
            engine_->fail_refused(refusal, files.title, 0, process_->compiles(profile().route));
        }
        return std::make_unique<AppleExecutable>(
            engine_, *loaded, *package.program.find_function(function), files.title);
    }

    void run_trial_of(const std::filesystem::path& directory, const std::string& title) const {
        std::vector<std::string> command = engine_->options().trial_command;
        command.emplace_back(engine_->route().name());
        if (!directory.empty()) {
            command.push_back(directory.string());
        }
        const double seconds = engine_->options().trial_seconds;
        const ChildResult result = run_child(command, seconds);
        const std::string said =
            result.output.empty() ? "it said nothing" : result.output.substr(0, 2000);
        switch (result.kind) {
            case ChildResult::Kind::time_over:
                fail(Code::compile_failed, here,
                     "{}: a child process that tried it by route {} was not done after {:g} s and "
                     "was killed; here it would hang ({})",
                     title, engine_->route().name(), seconds, machine().text());
            case ChildResult::Kind::killed:
                fail(Code::compile_failed, here,
                     "{}: a child process that tried it by route {} was killed by signal {}; here "
                     "it would end this process; {}",
                     title, engine_->route().name(), result.status, said);
            case ChildResult::Kind::exited:
                if (result.status != 0) {
                    fail(Code::compile_failed, here, "{}: tried in a child process: {}", title,
                         said);
                }
        }
    }

    std::shared_ptr<Process> process_;
    Identification identification_;
    std::shared_ptr<Engine> engine_;
    std::set<std::uint64_t> known_texts_;
};

}  // namespace

std::string Options::runtime_from_environment() {
    const char* path = std::getenv("POME_APPLE_RUNTIME");
    return path == nullptr ? "" : path;
}

std::unique_ptr<AppleDevice> open_apple_device(const Options& options) {
    // The system counts what this process compiles, whichever of our devices asked for it.
    static const auto of_this_process = std::make_shared<Process>();
    const auto process = options.process           ? options.process
                         : options.runtime.empty() ? of_this_process
                                                   : std::make_shared<Process>();
    return std::make_unique<Opened>(options, process);
}

void run_trial(Options options, const std::filesystem::path& directory) {
    options.trial = Trial::off;
    options.canary = directory.empty();
    const auto device = open_apple_device(options);
    if (directory.empty()) {
        return;
    }
    mil::Package package;
    package.program = mil::read(read_text(directory / "model.mil"), "model.mil");
    package.weights = mil::WeightFiles::load(package.program, directory);
    const auto executable = device->compile(package);
    check_program(package, "main", *executable);
}

}  // namespace pome::device::apple
