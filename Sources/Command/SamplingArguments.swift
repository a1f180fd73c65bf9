internal import ArgumentParser
internal import Workflow

/// Names of the guidance scale: diffusers' and those of other programs.
let guidanceScaleNames: NameSpecification = [.long, .customLong("cfg-scale")]

/// The help of a guidance scale whose default follows from the model.
let usualGuidanceHelp = ArgumentHelp(
  """
  Classifier-free guidance scale; 1 turns guidance off (default: 7.5; 1 for turbo and 8.5 for LCM \
  models).
  """, valueName: "g")

/// Names of the scheduler: diffusers' and those of other programs.
let schedulerOptionNames: NameSpecification = [.long, .customLong("sampler")]

/// The help of a scheduler option.
func schedulerHelp(default text: String) -> ArgumentHelp {
  ArgumentHelp(
    """
    The scheduler: \(schedulerNames.joined(separator: ", ")), or its name in A1111, ComfyUI or \
    diffusers (default: \(text)).
    """,
    valueName: "name")
}
