#include "device/apple/foundation.h"
#include "device/apple/route.h"

namespace pome::device::apple {
namespace {

class InMemoryModel final : public Model {
  public:
    InMemoryModel(std::shared_ptr<const Runtime> runtime, Reference model,
                  std::shared_ptr<ModelDirectory> directory)
        : runtime_(std::move(runtime)),
          model_(std::move(model)),
          directory_(std::move(directory)) {}
    ~InMemoryModel() override {
        if (abandoned()) {
            model_.leak();
            return;
        }
        try {
            const AutoreleasePool pool(*runtime_);
            Id error = nullptr;
            runtime_->send(api::memory_unload, model_.get(), quality_of_service, &error);
            model_.reset();
        } catch (...) {  // there is nobody to tell: what cannot be unloaded ends with the process
        }
    }
    void evaluate(Id request) override {
        Id error = nullptr;
        if (runtime_->send(api::memory_evaluate, model_.get(), quality_of_service,
                           make_dictionary(*runtime_, {}), request, &error) == 0) {
            throw Refusal{Stage::evaluate, error_of(*runtime_, error), directory_};
        }
    }

  private:
    std::shared_ptr<const Runtime> runtime_;
    Reference model_;
    std::shared_ptr<ModelDirectory> directory_;
};

/// The in-memory classes: text and weights are handed over in memory, and yet the compiler reads
/// them from a directory that the caller has to fill.
class InMemoryRoute final : public Route {
  public:
    InMemoryRoute(std::shared_ptr<const Runtime> runtime,
                  std::shared_ptr<ModelDirectories> directories)
        : runtime_(std::move(runtime)), directories_(std::move(directories)) {}
    std::string_view name() const override { return "in-memory"; }

    std::shared_ptr<Model> load(const ProgramFiles& files) override {
        const Runtime& rt = *runtime_;
        std::vector<std::pair<Id, Id>> weights;
        for (const auto& [path, bytes] : files.weights) {
            weights.emplace_back(
                make_string(rt, "@model_path/" + path),
                make_dictionary(rt, {{make_string(rt, "offset"), make_number(rt, 0)},
                                     {make_string(rt, "data"), make_data(rt, *bytes)}}));
        }
        // Without weights an empty dictionary: nil fails without a word.
        const Id descriptor =
            rt.send_class(api::make_descriptor, make_data(rt, std::as_bytes(std::span(files.text))),
                          make_dictionary(rt, weights), nullptr);
        if (descriptor == nullptr) {
            throw Refusal{Stage::describe, {"", "the descriptor is nil", 0}, {}};
        }
        Reference model(runtime_, rt.send_class(api::make_memory_model, descriptor));
        if (model.get() == nullptr) {
            throw Refusal{Stage::describe, {"", "the model is nil", 0}, {}};
        }
        auto directory =
            directories_->named(text_of(rt, rt.send(api::memory_identifier, model.get())), files);
        Id error = nullptr;
        if (rt.send(api::memory_compile, model.get(), quality_of_service, make_dictionary(rt, {}),
                    &error) == 0) {
            throw Refusal{Stage::compile, error_of(rt, error), directory};
        }
        load_with_retry(rt, directory, [&](Id* failure) {
            return rt.send(api::memory_load, model.get(), quality_of_service,
                           make_dictionary(rt, {}), failure) != 0;
        });
        directory->loaded();
        return std::make_shared<InMemoryModel>(runtime_, std::move(model), std::move(directory));
    }

  private:
    std::shared_ptr<const Runtime> runtime_;
    std::shared_ptr<ModelDirectories> directories_;
};

}  // namespace

std::unique_ptr<Route> make_in_memory_route(std::shared_ptr<const Runtime> runtime,
                                            std::shared_ptr<ModelDirectories> directories) {
    return std::make_unique<InMemoryRoute>(std::move(runtime), std::move(directories));
}

}  // namespace pome::device::apple
