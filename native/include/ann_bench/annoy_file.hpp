#pragma once
// Files that Annoy wrote (https://github.com/spotify/annoy, format of 1.17), mapped and searched as they are.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ann_bench/distance.hpp"
#include "ann_bench/forest_parts.hpp"

namespace ann_bench {

/// An index of Annoy's. It answers with Annoy's ids in Annoy's order; where distances are equal but for
/// rounding, ids may change places. All members may be called from several threads at once.
///
/// Nothing in the file is believed: what it holds is checked where it is used, so that a damaged file gives
/// wrong answers or DamagedIndex, but no access outside of it and no search without end.
class AnnoyFile {
  public:
    struct Answers {
        std::vector<std::int32_t> ids;  ///< nearest first, equal distances by id
        std::vector<float> distances;  ///< as Annoy tells them: sqrt(2 - 2 cos), inner product, count of bits
    };

    /// Maps the file read-only and finds the roots from its end; no pass over the items.
    ///
    /// The file tells neither distance nor dimension (bits for hamming): they must be those it was built
    /// with. `prefault` reads all of it into memory at once. Throws DamagedIndex if no index of this distance
    /// and dimension can look like this, std::system_error if the file cannot be read,
    /// std::invalid_argument if the dimension is 0. The file must not be truncated while it is mapped.
    static std::unique_ptr<AnnoyFile> open(const std::string& path, Distance distance,
                                           std::uint32_t dimension, bool prefault);

    virtual ~AnnoyFile() = default;
    AnnoyFile(const AnnoyFile&) = delete;
    AnnoyFile& operator=(const AnnoyFile&) = delete;

    /// One more than the largest item number.
    virtual std::int32_t items() const = 0;

    /// Counted as Annoy counts them: an index with so few items that a root holds them all shows them twice.
    virtual std::int32_t trees() const = 0;

    virtual std::uint32_t dimension() const = 0;

    /// The file's bytes.
    virtual std::span<const std::byte> bytes() const = 0;

    /// Writes the vector of an item (0 <= item < items()): `dimension()` values, 0 or 1 for hamming.
    virtual void vector(std::int32_t item, float* to) const = 0;

    /// The distance between two items, as Annoy tells it.
    virtual float distance(std::int32_t a, std::int32_t b) const = 0;

    /// The `k` nearest of the items that Annoy's search looks at for `search_k`; may be fewer than k.
    ///
    /// `vector` has `dimension()` values; for hamming a bit is a value > 0.5. As in Annoy, -1 for `search_k`
    /// means k times the number of trees, and any other negative number (of either) no limit.
    virtual Answers query(const float* vector, std::int32_t k, std::int32_t search_k) const = 0;

  protected:
    AnnoyFile() = default;
};

}  // namespace ann_bench
