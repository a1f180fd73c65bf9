import Formats

/// Tensor names of a U-Net's moving average. LDM's training code stores them without dots:
/// `model_ema.diffusion_modelinput_blocks41normweight`.
enum AveragedNames {
  /// The name of a tensor's average, from the tensor's name below the U-Net's prefix.
  static func averaged(_ name: String) -> String { LDMKeys.averageUNet + name.filter { $0 != "." } }

  /// The name with its dots, below the U-Net's prefix; `nil` for a name that no U-Net tensor has.
  static func dotted(_ averaged: String) -> String? {
    guard averaged.hasPrefix(LDMKeys.averageUNet) else { return nil }
    var rest = averaged.dropFirst(LDMKeys.averageUNet.count)
    var parts: [String] = []
    while !rest.isEmpty {
      let digits = rest.prefix { $0.isASCII && $0.isNumber }
      if !digits.isEmpty {
        parts += numbers(digits, after: parts.last)
        rest = rest.dropFirst(digits.count)
      } else if let word = LDMKeys.unetWords.first(where: { rest.hasPrefix($0) }) {
        parts.append(word)
        rest = rest.dropFirst(word.count)
      } else {
        return nil
      }
    }
    return parts.isEmpty ? nil : parts.joined(separator: ".")
  }

  /// The numbers in a run of digits: after the names below, a block's number and a one-digit index
  /// within the block; else one number.
  private static func numbers(_ digits: Substring, after word: String?) -> [String] {
    let isPair = ["input_blocks", "output_blocks", "label_emb"].contains(word) && digits.count > 1
    return isPair ? [String(digits.dropLast()), String(digits.suffix(1))] : [String(digits)]
  }
}
