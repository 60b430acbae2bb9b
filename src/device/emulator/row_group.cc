#include "device/emulator/row_group.h"

#include <algorithm>
#include <map>
#include <set>

#include "device/emulator/norm_parts.h"
#include "device/emulator/plan.h"
#include "kernels/wide_rows.h"

namespace pome::device::emulator {
namespace {

constexpr std::int64_t block = 4096;           // elements of a tensor at a time: 8 KB
constexpr std::int64_t longest_row = 1 << 15;  // buffers of one row stay in the second-level cache
constexpr std::int64_t fewest_rows = 64;       // fewer would not keep the threads busy

/// A step of a group; its places' buffers are numbered, a slot of -1 says that the buffer is meant.
struct Part {
    ElementwiseForm::Function elements;  ///< of an elementwise step
    RowForm::Function rows;              ///< of the others
    NormRole norm;                       ///< instead of both
    Link::Place x, y, result;
    bool has_y = false;
    std::int64_t per_row = 1;  ///< elements of the result; of x where `rows` is given, of norms all
    bool is_row_by_row = false;  ///< one operand has one element a row, the other is whole
};

bool has(const Extent& extent, const ElementwiseForm& form) {
    return form.elements == extent.elements() || form.elements == extent.rows;
}

/// Whether one operand has one element a row and the other is whole.
bool is_row_by_row(const Extent& extent, const ElementwiseForm& form) {
    return form.elements == extent.elements() &&
           ((form.x_access.is_whole(form.elements) && extent.is_one_a_row(form.y_access)) ||
            (extent.is_one_a_row(form.x_access) && form.y_access.is_whole(form.elements)));
}

/// Whether element i of the result needs elements of its own row only.
bool is_of_own_row(const Extent& extent, const Access& access, std::int64_t operand_elements,
                   std::int64_t result_elements) {
    if (access.is_whole(result_elements)) {
        return operand_elements == result_elements;
    }
    return result_elements == extent.elements() && operand_elements == extent.rows &&
           extent.is_one_a_row(access);
}

/// What a thread keeps of a few rows.
struct Memory {
    std::vector<std::vector<fp16>> buffers;
    std::vector<kernels::WideRows> norms;
};

class RowGroupStep final : public Step {
  public:
    RowGroupStep(std::vector<Part> parts, std::vector<std::int64_t> buffers, Extent extent)
        : parts_(std::move(parts)),
          buffers_(std::move(buffers)),
          extent_(extent),
          ahead_(extent.rows) {
        for (const Part& part : parts_) {
            norms_ = std::max(norms_, part.norm.norm + 1);
            const std::int64_t elements = extent_.rows * part.per_row;
            ahead_.add(part.x, elements);
            if (part.has_y) {
                ahead_.add(part.y, elements);
            }
            ahead_.add(part.result, elements);
        }
    }

    void run(Run& run) const override {
        std::size_t pieces_of_block = 0;
        for (const Part& part : parts_) {
            pieces_of_block += pieces_of(part);
        }
        const std::int64_t rows = std::max<std::int64_t>(1, block / extent_.count);
        run.pool.for_blocks(extent_.rows, rows, [&](std::int64_t begin, std::int64_t end, int) {
            Memory memory;
            for (const std::int64_t per_row : buffers_) {
                memory.buffers.emplace_back(static_cast<std::size_t>(rows * per_row));
            }
            for (int norm = 0; norm < norms_; ++norm) {
                memory.norms.emplace_back(rows, extent_.count);
            }
            for (std::int64_t row = begin; row < end; row += rows) {
                const std::int64_t stop = std::min(end, row + rows);
                std::size_t piece = 0;
                for (const Part& part : parts_) {
                    const auto pieces = static_cast<std::int64_t>(pieces_of(part));
                    for (std::int64_t i = 0; i < pieces; ++i) {
                        ahead_.touch(run, stop, std::min(end, stop + rows), piece++,
                                     pieces_of_block);
                        evaluate(part, run, memory, row + (stop - row) * i / pieces,
                                 row + (stop - row) * (i + 1) / pieces, row);
                    }
                }
            }
        });
    }

  private:
    /// Elementwise parts run in two, so that the next block is fetched bit by bit.
    std::size_t pieces_of(const Part& part) const {
        return part.elements && part.per_row == extent_.count ? 2 : 1;
    }

    /// The rows [first, last) of a part; the buffers hold those from block_begin on.
    void evaluate(const Part& part, Run& run, Memory& memory, std::int64_t first, std::int64_t last,
                  std::int64_t block_begin) const {
        std::vector<std::vector<fp16>>& buffers = memory.buffers;
        const std::int64_t begin = first * part.per_row, end = last * part.per_row;
        if (part.elements && part.is_row_by_row) {
            return evaluate_rows(part, run, buffers, first, last, block_begin);
        }
        const auto place = [&](const Link::Place& at, std::int64_t i) {
            return at.buffer >= 0
                       ? buffers[static_cast<std::size_t>(at.buffer)].data() +
                             (at.access.index(i) - at.access.index(block_begin * part.per_row))
                       : run.slots[static_cast<std::size_t>(at.slot)] + at.access.index(i);
        };
        if (part.norm.kind != NormRole::Kind::none) {
            return evaluate_norm(part.norm, memory, place(part.x, begin), place(part.result, begin),
                                 last - first, run.numerics);
        }
        if (part.rows) {
            part.rows(place(part.x, begin), place(part.result, begin), last - first, run.numerics);
            return;
        }
        const std::int64_t elements = extent_.rows * part.per_row;
        for (std::int64_t i = begin; i < end;) {
            std::int64_t stop = std::min(end, part.x.access.end_of_run(i, elements));
            if (part.has_y) {
                stop = std::min(stop, part.y.access.end_of_run(i, elements));
            }
            part.elements(place(part.x, i), part.x.access.is_constant(),
                          part.has_y ? place(part.y, i) : nullptr, part.y.access.is_constant(),
                          place(part.result, i), stop - i, run.numerics.elementwise);
            i = stop;
        }
    }

    static void evaluate_norm(const NormRole& role, Memory& memory, const fp16* x, fp16* result,
                              std::int64_t rows, const Numerics& numerics) {
        kernels::WideRows& kept = memory.norms[static_cast<std::size_t>(role.norm)];
        switch (role.kind) {
            case NormRole::Kind::sum:
                return kept.sum(x, rows, role.is_mean, result, numerics);
            case NormRole::Kind::sum_squares:
                return kept.sum_squares(x, rows, role.is_mean, result, numerics);
            case NormRole::Kind::subtract_and_sum_squares:
                return kept.subtract_and_sum_squares(x, role.is_mean, result, numerics);
            case NormRole::Kind::multiply:
                return kept.multiply(x, result, numerics);
            case NormRole::Kind::none:
            case NormRole::Kind::absorbed:
                return;
        }
    }

    /// The same of an elementwise part whose operands are whole, or one element a row.
    void evaluate_rows(const Part& part, Run& run, std::vector<std::vector<fp16>>& buffers,
                       std::int64_t first, std::int64_t last, std::int64_t block_begin) const {
        const auto begin_of = [&](const Link::Place& at) {
            const std::int64_t a_row = at.access.is_constant() ? 1 : part.per_row;
            return at.buffer >= 0 ? buffers[static_cast<std::size_t>(at.buffer)].data() +
                                        (first - block_begin) * a_row
                                  : run.slots[static_cast<std::size_t>(at.slot)] + first * a_row;
        };
        const auto step_of = [&](const Link::Place& at) {
            return at.access.is_constant() ? 1 : part.per_row;
        };
        const fp16* x = begin_of(part.x);
        const fp16* y = begin_of(part.y);
        fp16* result = begin_of(part.result);
        const std::int64_t x_step = step_of(part.x), y_step = step_of(part.y);
        for (std::int64_t row = first; row < last; ++row) {
            part.elements(x, part.x.access.is_constant(), y, part.y.access.is_constant(), result,
                          part.per_row, run.numerics.elementwise);
            x += x_step, y += y_step, result += part.per_row;
        }
    }

    std::vector<Part> parts_;
    std::vector<std::int64_t> buffers_;  ///< elements a row of each
    Extent extent_;
    Ahead ahead_;
    int norms_ = 0;
};

}  // namespace

std::size_t RowGroup::length(const std::vector<const Step*>& steps) {
    const auto first =
        std::find_if(steps.begin(), steps.end(), [](const Step* step) { return step->rows(); });
    if (first == steps.end()) {
        return 0;
    }
    const Extent extent{(*first)->rows()->rows, (*first)->rows()->count};
    if (extent.rows < fewest_rows || extent.count < 2 || extent.count > longest_row) {
        return 0;
    }
    std::map<int, std::int64_t> made;  // slot -> elements
    const auto is_ready = [&](int slot, const Access& access, std::int64_t elements) {
        const auto found = made.find(slot);
        return found == made.end() || is_of_own_row(extent, access, found->second, elements);
    };
    std::size_t count = 0;
    bool has_rows = false;
    for (const Step* step : steps) {
        if (const ElementwiseForm* form = step->elementwise(); form != nullptr) {
            if (!has(extent, *form) || !is_ready(form->x, form->x_access, form->elements) ||
                (form->y >= 0 && !is_ready(form->y, form->y_access, form->elements))) {
                break;
            }
            made[form->result] = form->elements;
        } else if (const RowForm* rows = step->rows(); rows != nullptr) {
            const auto found = made.find(rows->x);
            if (rows->rows != extent.rows || rows->count != extent.count ||
                (found != made.end() && found->second != extent.elements())) {
                break;
            }
            made[rows->result] = rows->keeps_columns ? extent.elements() : extent.rows;
            has_rows = true;
        } else {
            break;
        }
        ++count;
    }
    return has_rows && count > 1 ? count : 0;
}

std::unique_ptr<Step> RowGroup::join(const std::vector<const Step*>& steps,
                                     const std::function<bool(int slot)>& stays_inside,
                                     std::vector<int>& touched) {
    const auto first =
        std::find_if(steps.begin(), steps.end(), [](const Step* step) { return step->rows(); });
    const Extent extent{(*first)->rows()->rows, (*first)->rows()->count};
    std::map<int, int> buffer_of;  // slot -> buffer
    std::vector<std::int64_t> buffers;
    const auto operand = [&](int slot, const Access& access) -> Link::Place {
        if (const auto found = buffer_of.find(slot); found != buffer_of.end()) {
            return {-1, found->second, access};
        }
        touched.push_back(slot);
        return {slot, -1, access};
    };
    const auto result = [&](int slot, std::int64_t per_row) -> Link::Place {
        const Access whole{1, extent.rows * per_row};
        if (!stays_inside(slot)) {
            touched.push_back(slot);
            return {slot, -1, whole};
        }
        buffer_of[slot] = static_cast<int>(buffers.size());
        buffers.push_back(per_row);
        return {-1, buffer_of[slot], whole};
    };
    const std::vector<NormRole> roles = find_norms(steps, extent, stays_inside);
    const Access whole{1, extent.elements()}, one_a_row{extent.count, extent.rows};
    std::vector<Part> parts;
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const Step* step = steps[i];
        const NormRole& role = roles[i];
        if (role.kind == NormRole::Kind::absorbed) {
            continue;
        }
        Part part;
        if (role.kind != NormRole::Kind::none) {
            const bool sums_source =
                role.kind == NormRole::Kind::sum || role.kind == NormRole::Kind::sum_squares;
            part.norm = role;
            part.per_row = extent.count;
            part.x = operand(role.x, sums_source ? whole : one_a_row);
            if (role.kind == NormRole::Kind::multiply) {
                part.result = result(step->elementwise()->result, extent.count);
            } else {
                part.result = result(step->rows()->result, 1);
                part.result.access = one_a_row;
            }
        } else if (const ElementwiseForm* form = step->elementwise(); form != nullptr) {
            part.elements = form->function;
            part.per_row = form->elements / extent.rows;
            part.has_y = form->y >= 0;
            part.x = operand(form->x, form->x_access);
            if (part.has_y) {
                part.y = operand(form->y, form->y_access);
                part.is_row_by_row = is_row_by_row(extent, *form);
            }
            part.result = result(form->result, part.per_row);
        } else {
            const RowForm& rows = *step->rows();
            part.rows = rows.function;
            part.per_row = extent.count;
            part.x = operand(rows.x, whole);
            part.result = result(rows.result, rows.keeps_columns ? extent.count : 1);
            if (!rows.keeps_columns) {  // seen from x's elements
                part.result.access = one_a_row;
            }
        }
        parts.push_back(std::move(part));
    }
    return std::make_unique<RowGroupStep>(std::move(parts), std::move(buffers), extent);
}

}  // namespace pome::device::emulator
