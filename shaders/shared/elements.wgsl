// Stored activations, 16 bytes at a time. A vec4<u32> holds 4 f32, or 8 f16 or bf16. Exactly one of the features f32,
// f16 and bf16 is set. Decoding needs no shader extension.

// Elements in a vec4<u32>.
@if(f32)
const ELEMENTS = 4u;
@if(f16 || bf16)
const ELEMENTS = 8u;

// Quads of elements in a vec4<u32>.
const QUADS = ELEMENTS / 4u;

// Elements in a 32-bit word.
const PER_WORD = ELEMENTS / 4u;

// The stored bits, with the elements at or beyond `columns` zeroed. `first` is the column of the first element. The
// owner of the memory may have left anything there, NaN included, so bits are cleared rather than multiplied by zero.
@if(f32)
fn masked(words: vec4<u32>, first: u32, columns: u32) -> vec4<u32> {
    return select(vec4<u32>(), words, first + vec4(0u, 1u, 2u, 3u) < vec4(columns));
}
@if(f16 || bf16)
fn masked(words: vec4<u32>, first: u32, columns: u32) -> vec4<u32> {
    let even = first + vec4(0u, 2u, 4u, 6u);
    let low = select(vec4<u32>(), vec4(0x0000ffffu), even < vec4(columns));
    let high = select(vec4<u32>(), vec4(0xffff0000u), even + 1u < vec4(columns));
    return words & (low | high);
}

// The elements 4·`index` to 4·`index` + 3 of a vec4<u32>, for `index` < QUADS.
@if(f32)
fn quad(words: vec4<u32>, index: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(words);
}
@if(f16)
fn quad(words: vec4<u32>, index: u32) -> vec4<f32> {
    let pair = select(words.xy, words.zw, index != 0u);
    return vec4(unpack2x16float(pair.x), unpack2x16float(pair.y));
}
@if(bf16)
fn quad(words: vec4<u32>, index: u32) -> vec4<f32> {
    let pair = select(words.xy, words.zw, index != 0u);
    // A bf16 is the upper half of an f32.
    return bitcast<vec4<f32>>(vec4(pair.x << 16u, pair.x & 0xffff0000u, pair.y << 16u, pair.y & 0xffff0000u));
}

// The element `index` < PER_WORD of a 32-bit word.
@if(f32)
fn element(word: u32, index: u32) -> f32 {
    return bitcast<f32>(word);
}
@if(f16)
fn element(word: u32, index: u32) -> f32 {
    return unpack2x16float(word >> (16u * index)).x;
}
@if(bf16)
fn element(word: u32, index: u32) -> f32 {
    return bitcast<f32>((word >> (16u * index)) << 16u);
}

// The largest stored magnitude in a vec4<u32>, as a key. Keys compare as magnitudes do, with infinity and NaN on top.
@if(f32)
fn magnitude_key(words: vec4<u32>) -> u32 {
    let keys = words & vec4(0x7fffffffu);
    return max(max(keys.x, keys.y), max(keys.z, keys.w));
}
@if(f16 || bf16)
fn magnitude_key(words: vec4<u32>) -> u32 {
    let keys = max(words & vec4(0x7fffu), (words >> vec4(16u)) & vec4(0x7fffu));
    return max(max(keys.x, keys.y), max(keys.z, keys.w));
}

// The f32 bits of the magnitude that a key stands for. unpack2x16float is not used, because it may flush subnormals.
@if(f32)
fn key_bits(key: u32) -> u32 {
    return key;
}
@if(f16)
fn key_bits(key: u32) -> u32 {
    let fraction = key & 0x3ffu;
    if key >= 0x7c00u {
        return 0x7f800000u | (fraction << 13u);
    }
    if key < 0x400u {
        // Subnormal: fraction · 2⁻²⁴, which is a normal f32.
        return bitcast<u32>(f32(fraction) * 5.9604644775390625e-8);
    }
    // The exponent's bias grows from 15 to 127.
    return (key << 13u) + (112u << 23u);
}
@if(bf16)
fn key_bits(key: u32) -> u32 {
    return key << 16u;
}
