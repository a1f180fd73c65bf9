internal import Support

/// What a quantized model must meet. The types and steps of the layers follow from it.
package enum QuantizationTarget: Hashable, Sendable {
  /// The most bytes of the whole output.
  case size(Int)
  /// The most stored bits of a weight of the U-Net's convolutions and linear layers.
  case bits(Double)
  /// The largest relative error of the guided prediction, from 0 to 1.
  case error(Double)
  /// The most bytes of memory that the output's program takes to make an image.
  case memory(Int)

  /// The setting that states it.
  var setting: Setting {
    switch self {
    case .size: .outputSize
    case .bits: .targetBits
    case .error: .maxError
    case .memory: .vram
    }
  }

  /// The value in its unit.
  var figure: Double {
    switch self {
    case .size(let bytes), .memory(let bytes): Double(bytes)
    case .bits(let bits): bits
    case .error(let error): error
    }
  }

  /// A figure of the target's kind as text: `500 MB`, `4.5 bits a weight`, `1.2 %`.
  func text(_ figure: Double) -> String {
    switch self {
    case .size, .memory: formatted(bytes: Int(figure.rounded()))
    case .bits: "\(formatted(figure, digits: 4)) bits a weight"
    case .error: "\(formatted(100 * figure, digits: 3)) %"
    }
  }

  /// What the figure is of.
  var noun: String {
    switch self {
    case .size: "size of the output"
    case .bits: "size of the U-Net's convolutions and linear layers"
    case .error: "error of the guided prediction"
    case .memory: "memory for one image"
    }
  }

  var json: JSONValue {
    switch self {
    case .size(let bytes): ["size": .integer(bytes)]
    case .bits(let bits): ["bits": .number(bits)]
    case .error(let error): ["max_error": .number(error)]
    case .memory(let bytes): ["vram": .integer(bytes)]
    }
  }

  /// Whether `figure` meets the target.
  func isMet(by figure: Double) -> Bool { figure <= self.figure }

  /// Whether `figure` meets the target and is near it: outputs that could be larger are not accepted
  /// at once.
  func isNearlyReached(by figure: Double) -> Bool {
    let share =
      switch self {
      case .size, .bits: 0.99
      case .error: 0.85
      case .memory: 0.0
      }
    return isMet(by: figure) && figure >= share * self.figure
  }
}
