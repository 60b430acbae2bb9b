// Elementwise steps that follow each other run block by block, so that what one gives the next
// stays in the processor's nearest cache; values that nothing else reads need no memory of their
// own. The arithmetic is each step's own: the bits do not depend on it.
#include "device/emulator/chain.h"

#include <algorithm>
#include <set>

#include "device/emulator/elementwise.h"
#include "device/emulator/plan.h"
#include "kernels/fast_paths.h"

namespace pome::device::emulator {
namespace {

constexpr std::int64_t block = 2048;   // elements: 4 KB a value
constexpr std::int64_t grain = 16384;  // elements a thread takes at least

/// Evaluates the elements [begin, end) of a link, in runs along which each operand is whole or one
/// element. `buffers` hold the block that begins at `begin`, `to` the reader's part of it.
void evaluate(const Link& link, Run& run, fp16* buffers, fp16* to, std::int64_t elements,
              std::int64_t begin, std::int64_t end) {
    const auto place = [&](const Link::Place& at, std::int64_t i) {
        if (at.buffer >= 0) {
            return buffers + at.buffer * block + (i - begin);
        }
        return at.slot >= 0 ? run.slots[static_cast<std::size_t>(at.slot)] + at.access.index(i)
                            : to + (i - begin);
    };
    for (std::int64_t i = begin; i < end;) {
        std::int64_t stop = std::min(end, link.x.access.end_of_run(i, elements));
        if (link.has_y) {
            stop = std::min(stop, link.y.access.end_of_run(i, elements));
        }
        link.function(place(link.x, i), link.x.access.is_constant(),
                      link.has_y ? place(link.y, i) : nullptr, link.y.access.is_constant(),
                      place(link.result, i), stop - i, run.numerics.elementwise);
        i = stop;
    }
}

class ChainStep final : public Step {
  public:
    explicit ChainStep(Chain chain) : chain_(std::move(chain)) {}

    void run(Run& run) const override {
        run.pool.for_blocks(chain_.elements(), grain,
                            [&](std::int64_t begin, std::int64_t end, int) {
                                std::vector<fp16> buffers;
                                chain_.evaluate(run, begin, end, buffers, nullptr, end);
                            });
    }

  private:
    Chain chain_;
};

}  // namespace

void Ahead::add(const Link::Place& place, std::int64_t elements_of_result) {
    const bool is_known = std::any_of(streams_.begin(), streams_.end(), [&](const Stream& stream) {
        return stream.slot == place.slot;
    });
    if (place.slot >= 0 && !is_known && place.access.is_whole(elements_of_result)) {
        streams_.push_back({place.slot, elements_of_result / elements_});
    }
}

void Ahead::touch(const Run& run, std::int64_t begin, std::int64_t end, std::size_t part,
                  std::size_t parts) const {
    constexpr std::int64_t line = 64 / sizeof(fp16);
    const auto passed = [&](std::size_t done) {
        return (end - begin) * static_cast<std::int64_t>(done) / static_cast<std::int64_t>(parts);
    };
    const std::int64_t first = begin + passed(part), last = begin + passed(part + 1);
    for (const Stream& stream : streams_) {
        const fp16* values = run.slots[static_cast<std::size_t>(stream.slot)];
        for (std::int64_t i = first * stream.step; i < last * stream.step; i += line) {
            __builtin_prefetch(values + i, 0, 2);
        }
    }
}

Chain::Chain(std::vector<Link> links, int buffers, std::int64_t elements)
    : links_(std::move(links)), ahead_(elements), buffers_(buffers), elements_(elements) {
    for (const Link& link : links_) {
        for (const Link::Place* place : {&link.x, &link.y, &link.result}) {
            ahead_.add(*place, elements_);
        }
    }
}

void Chain::evaluate(Run& run, std::int64_t begin, std::int64_t end, std::vector<fp16>& buffers,
                     fp16* to, std::int64_t next) const {
    buffers.resize(static_cast<std::size_t>(buffers_ * block));
    for (std::int64_t at = begin; at < end; at += block) {
        const std::int64_t stop = std::min(end, at + block);
        const std::int64_t ahead = stop < end ? stop : next;
        const std::int64_t ahead_end = std::min({ahead + block, ahead + (end - begin), elements_});
        for (std::size_t i = 0; i < links_.size(); ++i) {
            ahead_.touch(run, ahead, ahead_end, i, links_.size());
            emulator::evaluate(links_[i], run, buffers.data(),
                               to == nullptr ? nullptr : to + (at - begin), elements_, at, stop);
        }
    }
}

void ElementwiseStep::run(Run& run) const {
    const Link link{form_.function,
                    {form_.x, -1, form_.x_access},
                    {form_.y, -1, form_.y_access},
                    {form_.result, -1, {1, form_.elements}},
                    form_.y >= 0};
    run.pool.for_blocks(form_.elements, grain, [&](std::int64_t begin, std::int64_t end, int) {
        evaluate(link, run, nullptr, nullptr, form_.elements, begin, end);
    });
}

bool Access::of(const Shape& operand, const Shape& result, Access& access) {
    // From the last axis on: broadcast axes, then own ones, then broadcast ones again.
    enum class Part : std::uint8_t { behind, own, before };
    Part part = Part::behind;
    access = {};
    for (int axis = 1; axis <= result.rank(); ++axis) {
        const std::int64_t size = result[-axis];
        const std::int64_t own = axis <= operand.rank() ? operand[-axis] : 1;
        if (size == 1) {
            continue;
        }
        if (own == 1) {
            if (part == Part::behind) {
                access.group *= size;
            } else {
                part = Part::before;
            }
        } else {
            if (part == Part::before) {
                return false;
            }
            part = Part::own;
            access.count *= size;
        }
    }
    if (access.count == 1) {
        access.group = 1;
    }
    return true;
}

std::int64_t Access::end_of_run(std::int64_t i, std::int64_t elements) const {
    if (count == 1 || is_whole(elements)) {
        return elements;
    }
    const std::int64_t length = group > 1 ? group : count;
    return (i / length + 1) * length;
}

/// Decides which values of the steps [first, end) stay in buffers, and makes their links.
class ChainBuilder {
  public:
    /// `users` are the steps that touch each slot; `stays_inside` says whether a slot is touched by
    /// these steps only.
    ChainBuilder(const std::vector<std::vector<std::size_t>>& users,
                 std::function<bool(int slot)> stays_inside)
        : users_(users), stays_inside_(std::move(stays_inside)) {}

    void add(const ElementwiseForm& form, std::size_t step, bool is_streamed) {
        Link link;
        link.function = form.function;
        link.has_y = form.y >= 0;
        link.x = read(form.x, form.x_access, step);
        if (link.has_y) {
            link.y = read(form.y, form.y_access, step);
        }
        for (const int slot : finished_) {  // the result may take an operand's place
            release(slot);
        }
        finished_.clear();
        const Access whole{1, form.elements};
        if (is_streamed) {
            link.result = {-1, -1, whole};
        } else if (stays_inside_(form.result)) {
            if (free_.empty()) {
                free_.push_back(buffers_++);
            }
            link.result = {-1, free_.back(), whole};
            buffer_of_[form.result] = free_.back();
            free_.pop_back();
            if (users_[static_cast<std::size_t>(form.result)].back() == step) {
                release(form.result);  // nobody reads it
            }
        } else {
            touched_.push_back(form.result);
            link.result = {form.result, -1, whole};
        }
        links_.push_back(std::move(link));
    }

    Chain take(std::int64_t elements) { return {std::move(links_), buffers_, elements}; }
    std::vector<int> take_touched() { return std::move(touched_); }

  private:
    Link::Place read(int slot, const Access& access, std::size_t step) {
        const auto found = buffer_of_.find(slot);
        if (found == buffer_of_.end()) {
            touched_.push_back(slot);
            return {slot, -1, access};
        }
        if (users_[static_cast<std::size_t>(slot)].back() == step) {
            finished_.push_back(slot);
        }
        return {-1, found->second, access};
    }

    void release(int slot) {
        if (const auto found = buffer_of_.find(slot); found != buffer_of_.end()) {
            free_.push_back(found->second);
            buffer_of_.erase(found);
        }
    }

    const std::vector<std::vector<std::size_t>>& users_;
    std::function<bool(int)> stays_inside_;
    std::vector<Link> links_;
    std::vector<int> touched_, free_, finished_;
    std::map<int, int> buffer_of_;  // slot -> buffer, while its value is needed
    int buffers_ = 0;
};

std::vector<std::vector<std::size_t>> Plan::users() const {
    std::vector<std::vector<std::size_t>> users(slots_.size());
    for (std::size_t step = 0; step < steps_.size(); ++step) {
        for (const int slot : steps_[step].touched) {
            auto& those = users[static_cast<std::size_t>(slot)];
            if (those.empty() || those.back() != step) {
                those.push_back(step);
            }
        }
    }
    return users;
}

std::set<int> Plan::transferred() const {
    std::set<int> slots;
    for (const auto* transfers : {&loads_, &stores_}) {
        for (const Transfer& transfer : *transfers) {
            slots.insert(transfer.slot);
        }
    }
    return slots;
}

int Plan::take_square(const ElementwiseForm& form, Scheduled& reader) const {
    const bool is_taken = form.is_square && reader.step->streamed() == form.result &&
                          reader.step->read_squares_of(form.x);
    return is_taken ? form.x : -1;
}

int Plan::take_product(const ElementwiseForm& form, Scheduled& reader) const {
    const ElementwiseForm* sum = reader.step->elementwise();
    if (form.op != kernels::Binary::mul || sum == nullptr || sum->op != kernels::Binary::add ||
        sum->elements != form.elements || sum->x == sum->y) {
        return -1;
    }
    struct Operand {
        int slot;
        Access access;
    };
    const auto is_number = [&](const Operand& operand) {
        return operand.access.count == 1 &&
               slots_[static_cast<std::size_t>(operand.slot)].kind == Kind::constant;
    };
    Operand x{form.x, form.x_access}, number{form.y, form.y_access};
    if (is_number(x)) {
        std::swap(x, number);
    }
    Operand product{sum->x, sum->x_access}, other{sum->y, sum->y_access};
    if (other.slot == form.result) {
        std::swap(product, other);
    }
    if (!is_number(number) || !x.access.is_whole(form.elements) ||
        !product.access.is_whole(form.elements)) {
        return -1;
    }
    ElementwiseForm both;
    both.x = x.slot, both.x_access = x.access;
    both.y = other.slot, both.y_access = other.access;
    both.result = sum->result, both.elements = form.elements;
    both.function = [factor = slots_[static_cast<std::size_t>(number.slot)].constant.front()](
                        const fp16* a, bool /*a_is_constant*/, const fp16* b, bool b_is_constant,
                        fp16* out, std::int64_t count, const Numerics::Elementwise& rules) {
        kernels::scaled_sum(a, factor, b, b_is_constant, out, count, rules);
    };
    reader.step = std::make_unique<ElementwiseStep>(std::move(both));
    return x.slot;
}

void Plan::take_operands() {
    const auto all = users();
    const auto outside = transferred();
    std::vector<bool> is_taken(steps_.size(), false);
    for (std::size_t step = 0; step < steps_.size(); ++step) {
        const ElementwiseForm* form = steps_[step].step->elementwise();
        if (form == nullptr || slots_[static_cast<std::size_t>(form->result)].kind != Kind::arena ||
            outside.contains(form->result)) {
            continue;
        }
        const auto& readers = all[static_cast<std::size_t>(form->result)];
        if (readers.size() != 2 || readers.front() != step) {
            continue;
        }
        Scheduled& reader = steps_[readers.back()];
        int x = take_square(*form, reader);
        if (x < 0 && readers.back() == step + 1) {  // later, x would need its memory for longer
            x = take_product(*form, reader);
        }
        if (x >= 0) {
            std::replace(reader.touched.begin(), reader.touched.end(), form->result, x);
            is_taken[step] = true;
        }
    }
    std::vector<Scheduled> left;
    std::vector<std::size_t> at{0};  // of each step among those that are left
    for (std::size_t step = 0; step < steps_.size(); ++step) {
        if (!is_taken[step]) {
            left.push_back(std::move(steps_[step]));
        }
        at.push_back(left.size());
    }
    steps_ = std::move(left);
    for (Counted& counted : counted_) {
        counted.end = at[counted.end];
    }
}

void Plan::fuse() {
    if (counting_ != Counting::products || !kernels::fast_paths()) {
        return;  // whoever counts results wants to see every one of them
    }
    take_operands();
    const std::vector<std::vector<std::size_t>> users = this->users();
    const std::set<int> transferred = this->transferred();
    // Whether only the steps [first, end) know of a slot.
    const auto is_private = [&](int slot, std::size_t first, std::size_t end) {
        const auto& all = users[static_cast<std::size_t>(slot)];
        return slots_[static_cast<std::size_t>(slot)].kind == Kind::arena &&
               !transferred.contains(slot) &&
               std::all_of(all.begin(), all.end(),
                           [&](std::size_t step) { return first <= step && step < end; });
    };
    std::vector<Scheduled> fused;
    std::vector<std::size_t> ends;  // of the steps that each fused one stands for
    for (std::size_t first = 0; first < steps_.size();) {
        std::vector<const Step*> joinable;
        for (std::size_t step = first; step < steps_.size(); ++step) {
            const Step* next = steps_[step].step.get();
            if (next->elementwise() == nullptr && next->rows() == nullptr) {
                break;
            }
            joinable.push_back(next);
        }
        if (const std::size_t length = RowGroup::length(joinable); length > 0) {
            joinable.resize(length);
            std::vector<int> touched;
            auto group = RowGroup::join(
                joinable, [&](int slot) { return is_private(slot, first, first + length); },
                touched);
            fused.push_back({std::move(group), std::move(touched)});
            first += length;
            ends.push_back(first);
            continue;
        }
        std::size_t end = first;
        const ElementwiseForm* form = steps_[first].step->elementwise();
        const std::int64_t elements = form != nullptr ? form->elements : 0;
        while (form != nullptr && form->elements == elements) {
            ++end;
            form = end < steps_.size() ? steps_[end].step->elementwise() : nullptr;
        }
        // A step behind the chain that reads its last value front to back takes it as a stream.
        const int last = end > first ? steps_[end - 1].step->elementwise()->result : -1;
        const bool streams = end > first && end < steps_.size() &&
                             steps_[end].step->streamed() == last &&
                             is_private(last, end - 1, end + 1);
        if (end <= first + 1 && !streams) {
            fused.push_back(std::move(steps_[first]));
            ends.push_back(++first);
            continue;
        }
        ChainBuilder chain(users, [&](int slot) { return is_private(slot, first, end); });
        for (std::size_t step = first; step < end; ++step) {
            chain.add(*steps_[step].step->elementwise(), step, streams && step + 1 == end);
        }
        std::vector<int> touched = chain.take_touched();
        if (streams) {
            Scheduled& reader = steps_[end];
            std::copy_if(reader.touched.begin(), reader.touched.end(), std::back_inserter(touched),
                         [&](int slot) { return slot != last; });
            reader.step->read_from(std::make_shared<const Chain>(chain.take(elements)));
            fused.push_back({std::move(reader.step), std::move(touched)});
            first = end + 1;
        } else {
            fused.push_back(
                {std::make_unique<ChainStep>(chain.take(elements)), std::move(touched)});
            first = end;
        }
        ends.push_back(first);
    }
    steps_ = std::move(fused);
    // A chain belongs to the last operation in it.
    for (Counted& counted : counted_) {
        counted.end = static_cast<std::size_t>(
            std::upper_bound(ends.begin(), ends.end(), counted.end) - ends.begin());
    }
}

}  // namespace pome::device::emulator
