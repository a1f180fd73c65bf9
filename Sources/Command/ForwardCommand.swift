internal import ArgumentParser
internal import Workflow

/// `decant forward`. Evaluates one component on tensors of a file.
struct ForwardCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "forward",
    abstract: "Evaluates one component on given tensors, for comparison with other programs.",
    discussion: """
      Tensors have the names of diffusers' arguments, and a leading batch size B:
        unet: sample [B,C,H,W], timestep [B] or [],
          encoder_hidden_states [B,77,D]; SDXL also text_embeds [B,P] and
          time_ids [B,6]; LCM also timestep_cond [B,N] -> sample
        vae-decoder: latent -> image
        vae-encoder: image -> mean, logvar
        text-encoder, text-encoder-2: input_ids [B,77] -> last_hidden_state,
          hidden_states.K (0: embeddings; K: after layer K), pooler_output,
          and text_embeds from a projection

      Example: decant forward sd-v1-5/ --component unet --inputs in.safetensors \\
        -o out.safetensors
      """)

  @Argument(help: modelHelp, completion: .file())
  var model: String

  @Option(
    help: ArgumentHelp(
      "The component: \(ForwardJob.Component.names.joined(separator: ", ")).", valueName: "name"),
    completion: .list(ForwardJob.Component.names))
  var component: String

  @Option(
    help: ArgumentHelp("The file with the component's inputs.", valueName: "in.safetensors"),
    completion: .file(extensions: ["safetensors"]))
  var inputs: String

  @Option(
    name: [.short, .customLong("output")],
    help: ArgumentHelp("The file to write the results to.", valueName: "out.safetensors"),
    completion: .file(extensions: ["safetensors"]))
  var output: String

  @Flag(help: "Replace an existing output.")
  var force = false

  @OptionGroup var read: InputArguments
  @OptionGroup var compute: ComputeArguments
  @OptionGroup var common: CommonArguments

  func validate() throws {
    if ForwardJob.Component(rawValue: component) == nil {
      throw ValidationError(
        "--component takes \(ForwardJob.Component.names.joined(separator: ", ")), "
          + "not '\(component)'.")
    }
  }

  var threads: ThreadArguments { compute.threads }

  func job() throws -> ForwardJob {
    guard let component = ForwardJob.Component(rawValue: component) else {
      throw ValidationError("--component does not take '\(component)'.")
    }
    return ForwardJob(
      model: model, reading: read.value, compute: compute.compute.value, component: component,
      inputs: inputs, output: output, replacing: force)
  }
}
