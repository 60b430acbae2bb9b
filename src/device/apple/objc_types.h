#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pome::device::apple {

// What crosses the border to Objective-C, as plain C types.
struct ObjcObject;
struct ObjcSelector;
struct ObjcMethod;
struct IoSurface;
using Id = ObjcObject*;  ///< also of classes
using Selector = ObjcSelector*;
using IoSurfaceRef = IoSurface*;
using Implementation = void (*)();
/// BOOL is bool on arm64, signed char on Intel, unsigned char on GNU runtimes: a byte on all.
using ObjcBool = unsigned char;

/// One type as Objective-C encodes it, and the bytes that it takes among a method's arguments.
struct EncodedType {
    std::string_view text;
    int bytes;
};
template <typename T>
inline constexpr EncodedType encoded{};
template <>
inline constexpr EncodedType encoded<void>{"v", 0};
template <>
inline constexpr EncodedType encoded<Id>{"@", 8};
template <>
inline constexpr EncodedType encoded<ObjcBool>{"B", 4};
template <>
inline constexpr EncodedType encoded<std::uint32_t>{"I", 4};
template <>
inline constexpr EncodedType encoded<std::int64_t>{"q", 8};
template <>
inline constexpr EncodedType encoded<std::uint64_t>{"Q", 8};
template <>
inline constexpr EncodedType encoded<const char*>{"r*", 8};
template <>
inline constexpr EncodedType encoded<const void*>{"r^v", 8};
template <>
inline constexpr EncodedType encoded<Id*>{"^@", 8};
template <>
inline constexpr EncodedType encoded<const Id*>{"r^@", 8};
template <>
inline constexpr EncodedType encoded<IoSurfaceRef>{"^{__IOSurface=}", 8};

/// The type encoding of a method R(A...) on 64-bit systems: its result, the size of all arguments,
/// self and _cmd, then each argument with its offset.
template <typename Signature>
struct MethodEncoding;
template <typename R, typename... A>
struct MethodEncoding<R(A...)> {
    static std::string text() {
        int at = 16;
        std::string arguments = "@0:8";
        ((arguments += std::string(encoded<A>.text) + std::to_string(at), at += encoded<A>.bytes),
         ...);
        return std::string(encoded<R>.text) + std::to_string(at) + arguments;
    }
};

/// Whether two encodings mean the same: offsets, qualifiers (const, oneway), what a struct consists
/// of and the system's spelling of BOOL (B, c, C) aside.
bool same_encoding(std::string_view a, std::string_view b);

}  // namespace pome::device::apple
