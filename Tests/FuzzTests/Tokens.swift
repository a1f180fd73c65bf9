/// Pieces of files that readers have to take care with.
enum Tokens {
  /// Numbers at the limits of their types.
  static let numbers: [UInt64] = [
    0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
    0x1_0000_0000, 0x100_0000_0000, 0x2000_0000_0000_0000, 0x4000_0000_0000_0000,
    0x7fff_ffff_ffff_ffff, 0x8000_0000_0000_0000, 0xffff_ffff_ffff_fff8, 0xffff_ffff_ffff_ffff,
  ]

  /// The same as text, and others that only texts can hold.
  static let digits: [[UInt8]] =
    numbers.map { Array("\($0)".utf8) }
    + [
      "-1", "-0", "1e308", "1e-320", "-1e999", "0.1", "1.5", "1e18", "-9223372036854775808",
      "99999999999999999999", "100000", "1000000000", "null", "true", "[]", "{}", "\"1\"", "[1,1]",
    ].map { Array($0.utf8) }

  static let all: [[UInt8]] =
    texts.map { Array($0.utf8) }
    + [
      [0], [0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80],
      // Opcodes of pickles: the end, empty containers, a mark with its tuple, a name, copies.
      [0x2e], [0x5d], [0x7d], [0x28, 0x74], [0x85], [0x63, 0x6f, 0x73, 0x0a, 0x78, 0x0a],
      [0x71, 0, 0x68, 0], [0x8a, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
      [0x58, 0xff, 0xff, 0xff, 0x7f], [0x94],
      // Arrays of arrays and of texts in GGUF.
      [9, 0, 0, 0, 9, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0],
      [8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
    ]

  private static let texts = [
    "", "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u0000", "\\ud800", "\\u001b[31m", "/", "..",
    "../../x", "\n", "\r\n", "\t", " ", "\n  ",
    // What terminals obey.
    "\u{1b}[2J", "\u{9b}31m", "\u{7}", "\u{8}\u{8}\u{8}", "\u{202e}", "\u{2028}",
    "\ndecant: forged", "\nnote: forged",
    // Texts that are slow to compare, and long ones.
    String(repeating: "\u{300}\u{323}", count: 20),
    String(repeating: "\u{300}\u{323}", count: 10_000),
    String(repeating: "\u{f73}", count: 10_000), String(repeating: "a", count: 100_000),
    String(repeating: "[", count: 1000), String(repeating: "{\"a\":", count: 100),
    String(repeating: "[[],", count: 10_000),
    // Names.
    "__metadata__", "dtype", "shape", "data_offsets", "F32", "F8_E4M3", "BOOL", "_class_name",
    "general.alignment", "model.diffusion_model.", "unet", "EulerDiscreteScheduler",
    "v_prediction", "</w>", "<|endoftext|>", "#version: 0.2", "state_dict", "base_model.model.",
    "lora_alpha", "use_dora", ".*", "(a|b)", "[", "sdnq", "uint4", "group_size",
    "comfy.gguf.orig_shape.",
  ]
}
