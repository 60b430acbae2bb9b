// Weight files as compilers read them that check less than ours.
#include <gtest/gtest.h>

#include "formats/weight_blob.h"
#include "support/expect_error.h"
#include "support/forged_bytes.h"

namespace pome::formats {
namespace {

using Bytes = std::vector<std::byte>;

constexpr BlobRules nothing{false, false, false, false, false};

Bytes file() {
    BlobWriter writer;
    writer.add(DType::uint8, test::to_bytes("abcdefgh"));
    return writer.take();
}

Bytes read(const Bytes& blob, std::uint64_t offset, const BlobRules& rules,
           DType dtype = DType::uint8, std::int64_t elements = 8) {
    return read_blob(blob, "w.bin", offset, dtype, elements, rules);
}

TEST(BlobRules, ChecksNothingThatItIsNotAskedTo) {
    EXPECT_EQ(read(file(), 64, BlobRules{}), test::to_bytes("abcdefgh"));
    EXPECT_EQ(read(file(), 64, nothing), test::to_bytes("abcdefgh"));
    // A record without size, dtype or place.
    Bytes bare = test::with<std::uint64_t>(file(), 72, 0x80000);
    bare = test::with<std::uint64_t>(bare, 80, 0);
    bare = test::with<std::uint32_t>(bare, 68, 1);
    EXPECT_EQ(read(bare, 64, nothing), test::to_bytes("abcdefgh"));
    BlobRules from_start = nothing;
    from_start.zero_is_file_start = true;
    EXPECT_EQ(read(bare, 64, from_start), Bytes(bare.begin(), bare.begin() + 8));
    // What the file does not hold is zero.
    EXPECT_EQ(read(file(), 64, nothing, DType::uint8, 10), [] {
        Bytes longer = test::to_bytes("abcdefgh");
        longer.resize(10);
        return longer;
    }());
    EXPECT_EQ(read(file(), 72, nothing), Bytes(8))
        << "64 bytes behind an offset that names nothing";
    // uint4: two elements a byte, lowest bits first.
    EXPECT_EQ(read(file(), 64, nothing, DType::uint4, 2),
              (Bytes{std::byte{1}, std::byte{6}}));  // 'a' is 0x61
}

TEST(BlobRules, RefusesWhatIsLeft) {
    const auto refused = [](std::string_view message, const Bytes& blob, const BlobRules& rules,
                            std::uint64_t offset = 64) {
        test::expect_error(Code::malformed_file,
                           "[formats.weight_blob] w.bin: " + std::string(message),
                           [&] { read(blob, offset, rules); });
    };
    BlobRules sizes = nothing, types = nothing, records = nothing, places = nothing;
    sizes.size = types.dtype = records.record = places.data_offset = true;
    refused("the record has 9 bytes, 8 elements of uint8 have 8 (at byte 72)",
            test::with<std::uint64_t>(file(), 72, 9), sizes);
    refused(
        "Metadata data type does not match requested type.: the record has code 1, the program "
        "asks for uint8 (at byte 68)",
        test::with<std::uint32_t>(file(), 68, 1), types);
    refused("data offset 0 lies before the end 128 of its own record (at byte 80)",
            test::with<std::uint64_t>(file(), 80, 0), places);
    refused(
        "Invalid sentinel in blob_metadata: 0xefbeadde, not 0xdeadbeef; the bytes are reversed "
        "(at byte 64)",
        test::with<std::uint32_t>(file(), 64, 0xEFBEADDE), records);
    refused("no room for a record of 64 bytes in a file of 136; truncated? (at byte 128)", file(),
            nothing, 128);
    refused(
        "Storage Reader expects file format version 2., found 0; 64-byte header: the container "
        "needs 128 bytes before the data (at byte 4)",
        Bytes(200), nothing);
    test::expect_error(Code::malformed_file,
                       "[formats.weight_blob] w.bin: no file holds -1 elements (at byte 72)",
                       [] { read(file(), 64, nothing, DType::uint8, -1); });
}

}  // namespace
}  // namespace pome::formats
