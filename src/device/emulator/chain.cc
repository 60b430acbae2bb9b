// Elementwise steps that follow each other run block by block, so that what one gives the next
// stays in the processor's nearest cache; values that nothing else reads need no memory of their
// own. The arithmetic is each step's own: the bits do not depend on it.
#include "device/emulator/chain.h"

#include <algorithm>
#include <set>

#include "device/emulator/elementwise.h"
#include "device/emulator/plan.h"

namespace pome::device::emulator {
namespace {

constexpr std::int64_t block = 4096;   // elements: 8 KB a value
constexpr std::int64_t grain = 16384;  // elements a thread takes at least

/// Where a chain finds a value: a slot, or a buffer of the block.
struct Source {
    int slot = -1;
    int buffer = -1;
    Access access;
};

struct Link {
    ElementwiseForm::Function function;
    Source x, y, result;
    bool has_y = false;
};

/// Evaluates the elements [begin, end) of a link, in runs along which each operand is whole or one
/// element. `buffers` hold the block that begins at `begin`.
void evaluate(const Link& link, Run& run, fp16* buffers, std::int64_t elements, std::int64_t begin,
              std::int64_t end) {
    const auto place = [&](const Source& source, std::int64_t i) {
        return source.buffer >= 0
                   ? buffers + source.buffer * block + (i - begin)
                   : run.slots[static_cast<std::size_t>(source.slot)] + source.access.index(i);
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
    ChainStep(std::vector<Link> links, int buffers, std::int64_t elements)
        : links_(std::move(links)), buffers_(buffers), elements_(elements) {}

    void run(Run& run) const override {
        run.pool.for_ranges(elements_, grain, [&](std::int64_t begin, std::int64_t end, int) {
            std::vector<fp16> buffers(static_cast<std::size_t>(buffers_ * block));
            for (std::int64_t at = begin; at < end; at += block) {
                for (const Link& link : links_) {
                    evaluate(link, run, buffers.data(), elements_, at, std::min(end, at + block));
                }
            }
        });
    }

  private:
    std::vector<Link> links_;
    int buffers_;
    std::int64_t elements_;
};

}  // namespace

void ElementwiseStep::run(Run& run) const {
    const Link link{form_.function,
                    {form_.x, -1, form_.x_access},
                    {form_.y, -1, form_.y_access},
                    {form_.result, -1, {1, form_.elements}},
                    form_.y >= 0};
    run.pool.for_ranges(form_.elements, grain, [&](std::int64_t begin, std::int64_t end, int) {
        evaluate(link, run, nullptr, form_.elements, begin, end);
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

void Plan::fuse() {
    std::vector<std::vector<std::size_t>> users(slots_.size());
    for (std::size_t step = 0; step < steps_.size(); ++step) {
        for (const int slot : steps_[step].touched) {
            users[static_cast<std::size_t>(slot)].push_back(step);
        }
    }
    std::set<int> needed;  // outside of all steps
    for (const auto& transfers : {loads_, stores_}) {
        for (const auto& transfer : transfers) {
            needed.insert(transfer.slot);
        }
    }
    std::vector<Scheduled> fused;
    for (std::size_t first = 0; first < steps_.size();) {
        std::size_t end = first;
        const ElementwiseForm* form = steps_[first].step->elementwise();
        const std::int64_t elements = form != nullptr ? form->elements : 0;
        while (form != nullptr && form->elements == elements) {
            ++end;
            form = end < steps_.size() ? steps_[end].step->elementwise() : nullptr;
        }
        if (end <= first + 1) {
            fused.push_back(std::move(steps_[first]));
            first = std::max(end, first + 1);
            continue;
        }
        fused.push_back(make_chain(first, end, users, needed));
        first = end;
    }
    steps_ = std::move(fused);
}

Plan::Scheduled Plan::make_chain(std::size_t first, std::size_t end,
                                 const std::vector<std::vector<std::size_t>>& users,
                                 const std::set<int>& needed) {
    const auto stays_inside = [&](int slot) {
        const auto& all = users[static_cast<std::size_t>(slot)];
        return slots_[static_cast<std::size_t>(slot)].kind == Kind::arena &&
               !needed.contains(slot) && std::all_of(all.begin(), all.end(), [&](std::size_t step) {
                   return first <= step && step < end;
               });
    };
    std::vector<Link> links;
    std::vector<int> touched, free_buffers;
    std::map<int, int> buffer_of;  // slot -> buffer, while its value is needed
    int buffers = 0;
    for (std::size_t step = first; step < end; ++step) {
        const ElementwiseForm& form = *steps_[step].step->elementwise();
        Link link;
        link.function = form.function;
        link.has_y = form.y >= 0;
        std::vector<int> finished;
        const auto read = [&](int slot, const Access& access) {
            const auto found = buffer_of.find(slot);
            if (found == buffer_of.end()) {
                touched.push_back(slot);
                return Source{slot, -1, access};
            }
            if (users[static_cast<std::size_t>(slot)].back() == step) {
                finished.push_back(slot);
            }
            return Source{slot, found->second, access};
        };
        link.x = read(form.x, form.x_access);
        if (link.has_y) {
            link.y = read(form.y, form.y_access);
        }
        for (const int slot : finished) {  // the result may take an operand's place
            if (const auto found = buffer_of.find(slot); found != buffer_of.end()) {
                free_buffers.push_back(found->second);
                buffer_of.erase(found);
            }
        }
        const Access whole{1, form.elements};
        if (stays_inside(form.result)) {
            if (free_buffers.empty()) {
                free_buffers.push_back(buffers++);
            }
            link.result = {form.result, free_buffers.back(), whole};
            buffer_of[form.result] = free_buffers.back();
            free_buffers.pop_back();
            if (users[static_cast<std::size_t>(form.result)].back() == step) {  // nobody reads it
                free_buffers.push_back(buffer_of[form.result]);
                buffer_of.erase(form.result);
            }
        } else {
            touched.push_back(form.result);
            link.result = {form.result, -1, whole};
        }
        links.push_back(std::move(link));
    }
    const std::int64_t elements = steps_[first].step->elementwise()->elements;
    return {std::make_unique<ChainStep>(std::move(links), buffers, elements), std::move(touched)};
}

}  // namespace pome::device::emulator
