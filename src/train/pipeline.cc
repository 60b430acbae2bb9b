#include "train/pipeline.h"

#include "base/error.h"

namespace pome::train {

void Pipeline::restore_product_exponents(const std::vector<int>& exponents) {
    if (!exponents.empty()) {
        fail(Code::checkpoint_mismatch, "train.pipeline",
             "the checkpoint has scales for {} products, this pipeline scales none; set "
             "engine.product_scale as the run had it",
             exponents.size());
    }
}

const Offload& Pipeline::offload() const {
    static const Offload nothing;
    return nothing;
}

Span Pipeline::span(Part part, std::string what, std::int64_t block) {
    constexpr std::string_view names[] = {"device", "io", "host", "wait"};
    double* const sums[] = {&times_.device, &times_.io, &times_.host, &times_.wait};
    const auto index = static_cast<std::size_t>(part);
    return {timeline_, Timeline::Track::step, names[index], std::move(what), block, sums[index]};
}

void Pipeline::overlap_weight_gradients(int threads) {
    host_work_ = std::make_unique<HostWork>(threads, timeline_);
}

std::int64_t Pipeline::add_weight_gradient(std::string name, ThreadPool& pool,
                                           std::function<void(ThreadPool&)> work) {
    if (host_work_) {
        return host_work_->add(std::move(name), std::move(work));
    }
    const Span span = this->span(Part::host, std::move(name));
    work(pool);
    return 0;
}

void Pipeline::drain_weight_gradients() noexcept {
    try {
        wait_for_weight_gradients();
    } catch (...) {
        // The error that is on its way matters more.
    }
}

void Pipeline::wait_for_weight_gradients(std::int64_t number) {
    if (host_work_ && number > 0) {
        const Span span = this->span(Part::host, "wait for weight gradients");
        host_work_->wait(number);
    }
}

void Pipeline::wait_for_weight_gradients() {
    if (host_work_) {
        const Span span = this->span(Part::host, "wait for weight gradients");
        host_work_->wait_for_all();
    }
}

}  // namespace pome::train
