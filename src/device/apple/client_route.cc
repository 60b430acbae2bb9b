#include "device/apple/foundation.h"
#include "device/apple/route.h"

namespace pome::device::apple {
namespace {

class ClientModel final : public Model {
  public:
    ClientModel(std::shared_ptr<const Runtime> runtime, Reference client, Reference model,
                std::shared_ptr<ModelDirectory> directory)
        : runtime_(std::move(runtime)),
          client_(std::move(client)),
          model_(std::move(model)),
          directory_(std::move(directory)) {}
    ~ClientModel() override {
        if (abandoned()) {
            model_.leak();
            client_.leak();
            return;
        }
        try {
            const AutoreleasePool pool(*runtime_);
            Id error = nullptr;
            runtime_->send(api::client_unload, client_.get(), model_.get(),
                           make_dictionary(*runtime_, {}), quality_of_service, &error);
            model_.reset();
            client_.reset();
        } catch (...) {  // there is nobody to tell: what cannot be unloaded ends with the process
        }
    }
    void evaluate(Id request) override {
        Id error = nullptr;
        if (runtime_->send(api::client_evaluate, client_.get(), model_.get(),
                           make_dictionary(*runtime_, {}), request, quality_of_service,
                           &error) == 0) {
            throw Refusal{Stage::evaluate, error_of(*runtime_, error), directory_};
        }
    }

  private:
    std::shared_ptr<const Runtime> runtime_;
    Reference client_, model_;
    std::shared_ptr<ModelDirectory> directory_;
};

/// The client of the engine's service, on a directory of our own.
class ClientRoute final : public Route {
  public:
    ClientRoute(std::shared_ptr<const Runtime> runtime,
                std::shared_ptr<ModelDirectories> directories)
        : runtime_(std::move(runtime)), directories_(std::move(directories)) {}
    std::string_view name() const override { return "client"; }

    std::shared_ptr<Model> load(const ProgramFiles& files) override {
        const Runtime& rt = *runtime_;
        Reference client(runtime_, rt.send_class(api::shared_client));
        if (client.get() == nullptr) {
            throw Refusal{Stage::describe, {"", "+[_ANEClient sharedConnection] is nil", 0}, {}};
        }
        auto directory = directories_->unnamed(files);
        const Id url =
            rt.send_class(api::file_url, make_string(rt, directory->path().string()), ObjcBool{1});
        Reference model(
            runtime_, url == nullptr
                          ? nullptr
                          : rt.send_class(api::make_client_model, url,
                                          make_string(rt, directory->path().filename().string())));
        if (model.get() == nullptr) {
            throw Refusal{
                Stage::describe, {"", "+[_ANEModel modelAtURL:key:] is nil", 0}, directory};
        }
        // Without these the client looks for an Espresso network.
        const Id options = make_dictionary(
            rt, {{make_string(rt, "kANEFModelType"), make_string(rt, "kANEFModelMIL")},
                 {make_string(rt, "kANEFNetPlistFilenameKey"), make_string(rt, "model.mil")}});
        Id error = nullptr;
        if (rt.send(api::client_compile, client.get(), model.get(), options, quality_of_service,
                    &error) == 0) {
            throw Refusal{Stage::compile, error_of(rt, error), directory};
        }
        load_with_retry(rt, directory, [&](Id* failure) {
            return rt.send(api::client_load, client.get(), model.get(), options, quality_of_service,
                           failure) != 0;
        });
        directory->loaded();
        return std::make_shared<ClientModel>(runtime_, std::move(client), std::move(model),
                                             std::move(directory));
    }

  private:
    std::shared_ptr<const Runtime> runtime_;
    std::shared_ptr<ModelDirectories> directories_;
};

}  // namespace

std::unique_ptr<Route> make_client_route(std::shared_ptr<const Runtime> runtime,
                                         std::shared_ptr<ModelDirectories> directories) {
    return std::make_unique<ClientRoute>(std::move(runtime), std::move(directories));
}

}  // namespace pome::device::apple
