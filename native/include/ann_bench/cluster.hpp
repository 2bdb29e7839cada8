#pragma once
// The index of clusters: rows by the nearest of some centres, read one cluster after another.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ann_bench/index.hpp"
#include "ann_bench/kernels.hpp"
#include "ann_bench/projection.hpp"
#include "ann_bench/rank_table.hpp"
#include "ann_bench/rows.hpp"

namespace ann_bench {

inline constexpr std::uint32_t most_clusters = 1u << 24;

/// No distances of codes differ by as much.
inline constexpr float farthest_gap = 0x1p31f;

struct ClusterOptions {
    Distance distance = Distance::euclidean;  ///< euclidean, angular or dot
    std::uint32_t clusters = 0;               ///< 0: a rule
    std::uint32_t assignments = 0;            ///< clusters that a row is in, 1 or 2; 0: a rule
    std::uint64_t seed = 0;
    unsigned threads = 1;
};

/// What the header says of an index of clusters.
struct ClusterFacts {
    Distance distance;
    std::uint32_t dimension;
    RowType type;
    std::uint32_t depth;  ///< dimensions that the projection takes
    std::uint32_t width;  ///< dimensions of residuals
    std::uint32_t clusters;
    std::uint32_t assignments;
    float residual_step;  ///< steps of a code in one of a residual's
    std::uint64_t rows;
    std::uint64_t blocks;
    std::uint64_t seed;
    float projection_scale;
    float steps_per_unit;
    RankTable<26> gaps;  ///< how much farther than the nearest centre others are, squared, in steps

    Shape shape() const { return {distance, dimension, rows}; }
    /// Dimensions of codes: zeros stand behind those that residuals have.
    std::uint32_t code_width() const { return static_cast<std::uint32_t>(round_up(width, code_step)); }
    /// Codes of centres come sixteen at a time.
    std::uint64_t centre_blocks() const { return (std::uint64_t{clusters} + 15) / 16; }
    std::size_t centre_block_bytes() const { return std::size_t{16} * width; }
    std::size_t block_bytes() const { return residual_block_bytes(width); }
    /// Where rows are grouped: for dot they keep their lengths.
    MetricSpace space() const {
        return {distance == Distance::dot ? Distance::euclidean : distance, dimension, 0};
    }
};
static_assert(sizeof(ClusterFacts) == 168, "no gaps: what stands in them would stand in the file");

/// What an index of clusters consists of, wherever its bytes lie. Does not own them.
struct ClusterView {
    ClusterFacts facts;
    RowsView rows;
    ProjectionView projection;
    const std::uint8_t* centres;         ///< as Kernels::code_dots takes them
    const std::int32_t* centre_squares;  ///< of signed codes the squared lengths; for dot all as the largest
    const std::uint32_t* first_blocks;   ///< of each cluster, and one more
    const std::byte* blocks;             ///< as Kernels::scan_residuals takes them
};

template <class Part>
void for_each_part(ClusterView& view, Part part) {
    const ClusterFacts& facts = view.facts;
    for_each_part(view.rows, part);
    for_each_part(view.projection, part);
    part(section_type("cent"), view.centres, facts.centre_block_bytes(), facts.centre_blocks());
    part(section_type("csqr"), view.centre_squares, sizeof(std::int32_t), 16 * facts.centre_blocks());
    part(section_type("star"), view.first_blocks, sizeof(std::uint32_t), std::uint64_t{facts.clusters} + 1);
    part(section_type("bloc"), view.blocks, facts.block_bytes(), facts.blocks);
}

struct ClusterParts;

/// Clusters of rows (an inverted file, Jégou, Douze & Schmid 2011): k-means over codes, of each row the
/// difference from its centre in 2 bits a dimension, the best of what is read compared exactly.
class Cluster final : public Index {
  public:
    ~Cluster() override;
    Cluster(Cluster&&) noexcept;
    Cluster& operator=(Cluster&&) noexcept;

    /// Copies `count` vectors of `dimension` values and finds clusters.
    ///
    /// The result depends on the vectors and the options without `threads`, to the last byte. Throws
    /// std::invalid_argument if a size is out of range, a value is not finite, or there are no clusters for
    /// the distance.
    static Cluster build(const Vectors& vectors, std::size_t count, std::uint32_t dimension,
                         const ClusterOptions& options);

    static Cluster open(std::shared_ptr<const SectionFile> file);

    IndexKind kind() const override { return IndexKind::cluster; }
    RowsView rows() const override { return view_.rows; }
    Effort usual_effort(std::size_t k) const override;
    Effort whole_effort() const override { return {view_.facts.clusters, view_.facts.rows}; }

    const ClusterView& view() const { return view_; }

  protected:
    std::unique_ptr<Searcher> make_searcher() const override;
    std::span<const std::byte> header_facts() const override {
        return std::as_bytes(std::span(&view_.facts, 1));
    }
    std::vector<Part> parts() const override;

  private:
    explicit Cluster(const ClusterView& view);

    ClusterView view_;
    std::shared_ptr<const SectionFile> file_;  ///< where the parts are, or
    std::unique_ptr<ClusterParts> owned_;      ///< what they are in
};

}  // namespace ann_bench
