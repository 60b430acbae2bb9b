#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "formats/run_log.h"
#include "train/compile_budget.h"
#include "train/config.h"
#include "train/dataset.h"
#include "train/evaluate.h"
#include "train/language_model.h"
#include "train/report.h"
#include "train/run_directory.h"
#include "train/schedule.h"
#include "train/selection.h"

namespace pome::train {

/// How a run ended.
enum class Outcome : std::uint8_t {
    finished,
    time_limit,
    interrupted,
    restart,  ///< the compile budget is used up: resume in a new process
};

/// Trains a language model: a run directory holds the resolved config, metrics as JSON lines and
/// checkpoints, and resumes exactly.
class Trainer {
  public:
    /// A new run in `directory`, which must not hold one. Throws Error{io, invalid_argument}.
    static std::unique_ptr<Trainer> create(const Config& config,
                                           const std::filesystem::path& directory,
                                           device::Device& device, ThreadPool& pool);
    /// Continues from the newest sound checkpoint. The config is the run directory's own: read it
    /// with run_config().
    static std::unique_ptr<Trainer> resume(const std::filesystem::path& directory,
                                           device::Device& device, ThreadPool& pool);
    ~Trainer();

    /// Trains to the end, the time limit, until `stop` becomes true or the compile budget is short;
    /// saves in each case. Calls `report` every report_every updates. Throws Error{diverged} when
    /// training goes wrong and config().health says stop or cannot roll back, Error{compile_failed}
    /// when a program cannot be compiled or an update needs more programs than the budget has.
    Outcome run(const std::function<void(const Report&)>& report, const std::atomic<bool>& stop);

    const model::Architecture& architecture() const { return architecture_; }
    /// A copy of all of them, the pipeline's own among them.
    ParameterSet weights() const;
    /// Parameters that have fp32 weights, gradients and moments on the host.
    std::int64_t host_parameters() const;
    const Config& config() const { return config_; }
    std::int64_t step() const { return step_; }
    const Choice& choice() const { return choice_; }  ///< the pipeline and why
    std::int64_t compiles() const { return device_.compiles(); }
    std::int64_t training_tokens() const { return data_.tokens(); }
    /// What model.weights lost or changed on its way here, in sentences; see LoadedModel::notes.
    const std::vector<std::string>& weights_notes() const { return weights_notes_; }
    Evaluation validate();

    /// Writes a Chrome trace of the next `updates` updates of run() to `file`, or of as many as it
    /// makes.
    void trace(std::filesystem::path file, std::int64_t updates);
    /// What the extras spare and cost in this process; empty without extras.
    std::vector<ExtraReport> extras() const;

  private:
    Trainer(const Config& config, std::filesystem::path directory, device::Device& device,
            ThreadPool& pool);

    struct Update {
        double loss = 0.0;
        double gradient_norm = 0.0;
    };
    void set_first_weights();  ///< of model.weights, or random
    void take_weights(ParameterSet all);
    /// Which parameters are the host's: the pipeline does not keep them.
    std::function<bool(const std::string&)> hosts() const;
    Update update();
    /// Judges an update; false: it was undone by a rollback.
    bool judge(const Update& made);
    void roll_back();
    [[noreturn]] void fail_diverged(const std::string& why) const;
    Phase stage_weights();
    void finish_step(const std::function<void(const Report&)>& report);
    void save(const std::string& name);
    void save_newest();
    void drop_old_checkpoints();  ///< all but the keep_last newest and the newest sound one
    void load(const std::filesystem::path& checkpoint);
    Outcome run_updates(const std::function<void(const Report&)>& report,
                        const std::atomic<bool>& stop);
    void finish_trace(bool ended);

    Config config_;
    std::filesystem::path directory_;
    std::optional<formats::RunLog> metrics_;
    device::Device& device_;
    ThreadPool& pool_;
    Choice choice_;
    model::Architecture architecture_;
    std::unique_ptr<Pipeline> pipeline_;
    ParameterSet weights_, gradients_, m_,
        v_;  ///< of the parameters that the pipeline does not keep
    TokenDataset data_, validation_;
    WindowSampler sampler_;
    std::unique_ptr<LanguageModel> language_model_;
    LossScale loss_scale_;
    HealthMonitor health_;
    std::int64_t step_ = 0;     ///< updates tried
    std::int64_t updates_ = 0;  ///< updates made
    std::int64_t skipped_in_a_row_ = 0;
    std::vector<std::string> weights_notes_;
    double best_validation_;
    double last_validation_;
    // Since the last report.
    double loss_sum_ = 0.0;
    std::int64_t counted_ = 0;
    double busy_ms_ = 0.0;
    std::int64_t timed_ = 0;  ///< updates that busy_ms_ is the time of
    double gradient_norm_;    ///< of the newest update
    StageHealths stages_;
    std::vector<HealthWarning> warnings_;
    bool staged_ = false;     ///< the pipeline has the current weights
    bool step_open_ = false;  ///< an update was made that has not been validated and reported yet
    std::filesystem::path trace_file_;  ///< empty: no trace, or it is written
    std::int64_t trace_updates_ = 0;    ///< still to be recorded
};

/// The form in which a config wants stages written.
model::Form stage_form(const EngineConfig& engine, std::int64_t sequence);

}  // namespace pome::train
