private import Checkpoints
private import Formats
private import ModelSources
private import Models
private import Quantization
private import Sampling
private import Stripping
private import Support
private import Tensors

/// Names of the types of quantized models.
package let schemeNames = Schemes.all.map(\.name)

/// The types with other usual names, each with those: `int8-g32 (q8_0, q8)`.
package let schemeAliases = Schemes.all.filter { !$0.aliases.isEmpty }.map {
  "\($0.name) (\($0.aliases.joined(separator: ", ")))"
}

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
package let defaultRoundingMethods = (
  withCalibration: RoundingMethods.standard(hasMoments: true).name,
  without: RoundingMethods.standard(hasMoments: false).name
)

/// The name of the scheme that `name` stands for, in any case and under any usual name: `f16` for
/// `FP16`. A name that stands for no scheme stays as it is.
package func typeName(_ name: String) -> String { Schemes.named(name)?.name ?? name }

/// The name of the type that stores weights as `name` does, but rotated; `nil` where there is none.
/// That of a type of rotated weights is its own name.
package func rotatedTypeName(_ name: String) -> String? {
  Schemes.named(name).flatMap(Schemes.rotating)?.name
}

/// The types of weights that are not rotated, each with the type of the same weights rotated.
package let rotatedTypes: [(type: String, rotated: String)] = Schemes.all.compactMap { scheme in
  guard let rotated = Schemes.rotating(scheme), rotated.name != scheme.name else { return nil }
  return (scheme.name, rotated.name)
}

/// Names of the layouts that Decant writes.
package let writerNames = Layouts.writers.map(\.name)

/// Names of the output profiles of all layouts.
package let programNames: [String] = {
  var names: [String] = []
  for profile in Layouts.writers.flatMap(\.profiles) where !names.contains(profile.name) {
    names.append(profile.name)
  }
  return names
}()

/// Names of the output profiles of files that hold one component.
package let componentProgramNames = Writers.component.profiles.map(\.name)

/// Names of the types of quantized layers that files of one component hold.
package let componentTypeNames = Schemes.all.filter { scheme in
  scheme.encoding.isQuantized
    && Writers.component.profiles.contains { $0.accepts(scheme.encoding) }
}.map(\.name)

/// The ending of the outputs in a layout of that name: `.gguf`, or `/`.
package func outputEnding(of layout: String) -> String? {
  Layouts.writers.first { $0.name == layout }?.outputName(stem: "")
}

/// The name of the output profile that `name` stands for, in any case, also by the program's title:
/// `sdcpp` for `stable-diffusion.cpp`. A name that stands for none stays as it is.
package func programName(_ name: String) -> String {
  let profiles = Layouts.writers.flatMap(\.profiles)
  return member(named: name, of: profiles) { [$0.name, $0.title] }?.name ?? name
}

/// Names of the ways to number the blocks of a single file.
package let numberingNames = BlockNumbering.allCases.map(\.rawValue)

/// The name of an output in each layout, with the layout: `NAME.gguf (GGUF file)`.
package let outputForms = Layouts.writers.map { writer in
  "\(writer.outputName(stem: "NAME")) (\(writer.layout))"
}

/// The output of a layout, with the programs that read what it should hold.
package struct OutputForm: Sendable {
  /// `NAME.gguf`
  package let name: String
  /// The names of the programs; empty where all programs of the layout do.
  package let programs: [String]

  /// The outputs that hold linear layers of a component quantized.
  fileprivate static func all(quantizing component: String) -> [OutputForm] {
    func quantizes(_ profile: any OutputProfile) -> Bool {
      Schemes.all.contains { scheme in
        let layer = TensorEntry(shape: [1024, 1024], encoding: scheme.encoding)
        return scheme.encoding.isQuantized
          && profile.reads(layer, of: "linear.weight", in: component)
      }
    }
    return Layouts.writers.compactMap { writer in
      let programs = writer.profiles.filter(quantizes).map(\.name)
      if programs.isEmpty { return nil }
      return OutputForm(
        name: writer.outputName(stem: "NAME"),
        programs: programs.count == writer.profiles.count ? [] : programs)
    }
  }
}

/// The outputs that hold a quantized U-Net.
package let quantizedOutputForms = OutputForm.all(quantizing: ComponentName.unet)

/// The outputs that hold quantized text encoders.
package let quantizedTextOutputForms = OutputForm.all(quantizing: ComponentName.textEncoder)

/// Names of prediction types.
package let predictionNames = PredictionType.allCases.map(\.rawValue)

/// Names of the schedulers.
package let schedulerNames = Schedulers.all.map(\.name)

/// Names of the recipes, then other names of the same recipes.
package let recipeNames = StripPlan.recipes.map(\.name) + StripPlan.recipeAliases

/// Names of the families that can be synthesized.
package let familyNames = Family.all.filter { $0.template != nil }.map(\.name)

/// The share of the weights that `quantize` keeps where nothing else is chosen.
package let standardKeptShare = SensitiveLayers.standardShare

/// The number of Decant's own prompts.
package let ownPromptCount = CalibrationPrompts.all.count

/// The repository on huggingface.co with the trained weights of the model that a recipe makes; `nil` for
/// an unknown name.
package func repositoryName(ofRecipe name: String) -> String? {
  StripPlan.repository(ofRecipe: name)
}
