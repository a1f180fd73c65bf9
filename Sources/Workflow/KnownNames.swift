private import Formats
private import Quantization
private import Tensors

/// Names of the schemes that store plain floating-point numbers.
package let plainTypeNames = Schemes.all.filter { !$0.encoding.isQuantized }.map(\.name)

/// The type of weights that are not quantized, where none is named.
package let defaultRestType = Schemes.half.name

/// The type of the U-Net's weights in a shrunk model, where none is named.
package let defaultShrunkType = Schemes.int8.name

/// The type of random weights, where none is named.
package let defaultRandomType = Schemes.single.name

/// Names of the rounding methods.
package let roundingMethodNames = RoundingMethods.all.map(\.name)

/// Each rounding method with what it does: `round: the largest weight …`.
package let roundingMethodSummaries = RoundingMethods.all.map { "\($0.name): \($0.summary)" }

/// The name of the default rounding method.
package let defaultRoundingMethod = RoundingMethods.default.name

/// The name of the scheme that `name` stands for, in any case and under any usual name: `f16` for
/// `FP16`. A name that stands for no scheme stays as it is.
package func typeName(_ name: String) -> String { Schemes.named(name)?.name ?? name }

/// The number of Decant's own prompts.
package let ownPromptCount = CalibrationPrompts.all.count
