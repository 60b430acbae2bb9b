#include "device/emulator/norm_parts.h"

#include <algorithm>

#include "device/emulator/plan.h"

namespace pome::device::emulator {
namespace {

using Kind = NormRole::Kind;

class Search {
  public:
    Search(const std::vector<const Step*>& steps, const Extent& extent,
           const std::function<bool(int slot)>& stays_inside)
        : steps_(steps), extent_(extent), stays_inside_(stays_inside), roles_(steps.size()) {}

    std::vector<NormRole> run() {
        for (std::size_t i = 0; i < steps_.size(); ++i) {
            const RowForm* rows = steps_[i]->rows();
            if (rows == nullptr || !rows->sum || roles_[i].kind != Kind::none) {
                continue;
            }
            if (rows->sum->of_squares ? take_rms_norm(i) : take_layer_norm(i)) {
                ++norms_;
            }
        }
        return std::move(roles_);
    }

  private:
    /// The slot that has one element a row in a step `op` of `whole`, all of it, and that; -1: it
    /// is no such step. Factors may be the first operand.
    int other_operand(const Step& step, kernels::Binary op, int whole) const {
        const ElementwiseForm* form = step.elementwise();
        if (form == nullptr || form->op != op || form->elements != extent_.elements()) {
            return -1;
        }
        if (form->x == whole && form->x_access.is_whole(form->elements) &&
            extent_.is_one_a_row(form->y_access)) {
            return form->y;
        }
        if (op == kernels::Binary::mul && form->y == whole &&
            form->y_access.is_whole(form->elements) && extent_.is_one_a_row(form->x_access)) {
            return form->x;
        }
        return -1;
    }
    bool reads(const Step& step, int slot) const {
        if (const ElementwiseForm* form = step.elementwise(); form != nullptr) {
            return form->x == slot || form->y == slot;
        }
        return step.rows()->x == slot;
    }
    bool is_free(std::size_t step) const { return roles_[step].kind == Kind::none; }

    /// The products of `whole` with one factor a row, from step `first` on.
    std::vector<std::size_t> products(std::size_t first, int whole) const {
        std::vector<std::size_t> found;
        for (std::size_t i = first; i < steps_.size(); ++i) {
            if (is_free(i) && other_operand(*steps_[i], kernels::Binary::mul, whole) >= 0) {
                found.push_back(i);
            }
        }
        return found;
    }
    void take_products(const std::vector<std::size_t>& steps, int whole) {
        for (const std::size_t i : steps) {
            roles_[i] = {Kind::multiply, norms_,
                         other_operand(*steps_[i], kernels::Binary::mul, whole)};
        }
    }

    bool take_rms_norm(std::size_t first) {
        const RowForm& squares = *steps_[first]->rows();
        const auto products = this->products(first + 1, squares.x);
        if (products.empty()) {
            return false;
        }
        roles_[first] = {Kind::sum_squares, norms_, squares.x, squares.sum->is_mean};
        take_products(products, squares.x);
        return true;
    }

    bool take_layer_norm(std::size_t first) {
        const RowForm& sum = *steps_[first]->rows();
        for (std::size_t i = first + 1; i < steps_.size(); ++i) {
            const int subtrahend = other_operand(*steps_[i], kernels::Binary::sub, sum.x);
            if (subtrahend < 0 || !is_free(i)) {
                continue;
            }
            // Nobody else may read the difference: there will be none.
            const int difference = steps_[i]->elementwise()->result;
            const auto squares = std::find_if(steps_.begin() + static_cast<std::ptrdiff_t>(i),
                                              steps_.end(), [&](const Step* step) {
                                                  const RowForm* rows = step->rows();
                                                  return rows != nullptr && rows->x == difference &&
                                                         rows->sum && rows->sum->of_squares;
                                              });
            if (squares == steps_.end() || !stays_inside_(difference)) {
                continue;
            }
            const auto at = static_cast<std::size_t>(squares - steps_.begin());
            const auto products = this->products(at + 1, difference);
            const auto readers = std::count_if(steps_.begin(), steps_.end(), [&](const Step* step) {
                return reads(*step, difference);
            });
            if (products.empty() || readers != static_cast<std::ptrdiff_t>(products.size()) + 1) {
                continue;
            }
            roles_[first] = {Kind::sum, norms_, sum.x, sum.sum->is_mean};
            roles_[i] = {Kind::absorbed, norms_};
            roles_[at] = {Kind::subtract_and_sum_squares, norms_, subtrahend,
                          (*squares)->rows()->sum->is_mean};
            take_products(products, difference);
            return true;
        }
        return false;
    }

    const std::vector<const Step*>& steps_;
    Extent extent_;
    const std::function<bool(int slot)>& stays_inside_;
    std::vector<NormRole> roles_;
    int norms_ = 0;
};

}  // namespace

std::vector<NormRole> find_norms(const std::vector<const Step*>& steps, const Extent& extent,
                                 const std::function<bool(int slot)>& stays_inside) {
    return Search(steps, extent, stays_inside).run();
}

}  // namespace pome::device::emulator
