// Any bytes as a cluster's file: refused with argument_error, or a cluster that survives being written
// and read again.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "fuzz/bytes.hpp"
#include "locmoe/adapt/cluster_file.hpp"

using namespace locmoe;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    cluster read{topology::single_node(1), {}};
    try {
        read = parse_cluster({reinterpret_cast<const char*>(data), size}, "fuzzed");
    } catch (const argument_error& e) {
        for (const char* c = e.what(); *c != '\0'; ++c)
            if (*c < ' ' || *c > '~') fuzz::found("an error that a terminal would obey");
        return 0;
    }
    if (read.nodes.rank_count() > 1000) return 0;  // slow, and no news
    const cluster again = parse_cluster(cluster_json(read.nodes, read.costs), "written");
    if (!(again.nodes == read.nodes)) fuzz::found("another topology after writing");
    if (cluster_json(again.nodes, again.costs) != cluster_json(read.nodes, read.costs))
        fuzz::found("other costs after writing");
    return 0;
}
