#include "train/report.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace pome::train {
namespace {

nlohmann::json number(double value) {
    return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr);
}

}  // namespace

nlohmann::json Report::json() const {
    nlohmann::json record{{"step", step},
                          {"train_loss", number(train_loss)},
                          {"validation_loss", number(validation_loss)},
                          {"learning_rate", learning_rate},
                          {"grad_norm", number(gradient_norm)},
                          {"loss_scale", loss_scale},
                          {"skipped", skipped},
                          {"ms_per_step", milliseconds},
                          {"device_ms", device_ms},
                          {"host_ms", host_ms},
                          {"io_ms", io_ms},
                          {"wait_ms", wait_ms},
                          {"tokens_per_second", tokens_per_second},
                          {"compiles", compiles}};
    for (const ExtraReport& extra : extras) {
        record["extras"][extra.name] = {{"runs", extra.runs},
                                        {"host_ms", extra.host_ms},
                                        {"device_ms", extra.device_ms},
                                        {"io_ms", extra.io_ms}};
    }
    if (!stages.empty()) {
        record["stages"] = summary(stages);
    }
    for (const HealthWarning& warning : warnings) {
        record["warnings"].push_back({{"kind", warning.kind}, {"message", warning.message}});
    }
    if (rollbacks > 0) {
        record["rollbacks"] = rollbacks;
    }
    return record;
}

}  // namespace pome::train
