/// Kinds of models and components that Decant does not read, by their configs: classes of pipelines
/// and of components, and members of a component's config. One line a mark. The source is diffusers
/// 0.42.1 and the published configs of the kinds.
package enum ForeignClasses {
  package typealias Kind = ForeignModels.Kind

  static let all: [Kind] = [
    // Pipelines with a U-Net. They precede shorter beginnings of the same class names.
    Kind("Stable Diffusion 3", .transformer, .type("StableDiffusion3")),
    Kind("Stable Video Diffusion", .video, .type("StableVideoDiffusion")),
    Kind("InstructPix2Pix", .image, .type("StableDiffusionInstructPix2Pix")),
    Kind("InstructPix2Pix", .image, .type("StableDiffusionXLInstructPix2Pix")),
    Kind("Stable Diffusion 2 with depth", .depth, .type("StableDiffusionDepth2Img")),
    Kind("the Stable Diffusion x4 upscaler", .image, .type("StableDiffusionUpscale")),
    Kind("the Stable Diffusion x2 upscaler", .image, .type("StableDiffusionLatentUpscale")),
    Kind(
      "Stable Diffusion for image variations", .imageEmbedding,
      .type("StableDiffusionImageVariation")),
    Kind("GLIGEN", .boxes, .type("StableDiffusionGLIGEN")),
    Kind("Stable unCLIP", .imageEmbedding, .type("StableUnCLIP")),
    Kind("unCLIP", .stages, .type("UnCLIP")),
    Kind("Paint by Example", .imageEmbedding, .type("PaintByExample")),
    Kind("Marigold", .image, .type("Marigold")),
    Kind("Kolors", .otherText, .type("Kolors")),
    Kind("AltDiffusion", .otherText, .type("AltDiffusion")),
    Kind("AnimateDiff", .video, .type("AnimateDiff")),
    Kind("ModelScope's text to video", .video, .type("TextToVideoSD")),
    Kind("I2VGen-XL", .video, .type("I2VGenXL")),
    // Pipelines with a transformer or with several stages.
    Kind("Flux", .transformer, .type("Flux")),
    Kind("PixArt", .transformer, .type("PixArt")),
    Kind("Sana", .transformer, .type("Sana")),
    Kind("Hunyuan-DiT", .transformer, .type("HunyuanDiT")),
    Kind("HunyuanVideo", .video, .type("HunyuanVideo")),
    Kind("Lumina", .transformer, .type("Lumina")),
    Kind("Z-Image", .transformer, .type("ZImage")),
    Kind("Qwen-Image", .transformer, .type("QwenImage")),
    Kind("AuraFlow", .transformer, .type("AuraFlow")),
    Kind("Chroma", .transformer, .type("Chroma")),
    Kind("HiDream", .transformer, .type("HiDream")),
    Kind("CogView", .transformer, .type("CogView")),
    Kind("OmniGen", .transformer, .type("OmniGen")),
    Kind("Wan", .video, .type("Wan")),
    Kind("LTX-Video", .video, .type("LTX")),
    Kind("CogVideoX", .video, .type("CogVideo")),
    Kind("Mochi", .video, .type("Mochi")),
    Kind("Cosmos", .video, .type("Cosmos")),
    Kind("Stable Cascade", .stages, .type("StableCascade")),
    Kind("Würstchen", .stages, .type("Wuerstchen")),
    Kind("Kandinsky", .stages, .type("Kandinsky")),
    Kind("DeepFloyd IF", .pixels, .type("IF")),
    Kind("Stable Audio", .sound, .type("StableAudio")),
    Kind("AudioLDM", .sound, .type("AudioLDM")),
    // Components.
    Kind("Stable Diffusion 3", .transformer, .type("SD3Transformer2DModel")),
    Kind("a ControlNet", .addition, .type("ControlNet")),
    Kind("a ControlNet", .addition, .type("SparseControlNet")),
    Kind("a T2I-Adapter", .addition, .type("T2IAdapter")),
    Kind("an AnimateDiff motion module", .addition, .type("MotionAdapter")),
    Kind("AnimateDiff", .video, .type("UNetMotionModel")),
    Kind("a U-Net of videos", .video, .type("UNetSpatioTemporalConditionModel")),
    Kind("a U-Net of videos", .video, .type("UNet3DConditionModel")),
    Kind("a U-Net without text", .unused, .type("UNet2DModel")),
    Kind("a prior", .imageEmbedding, .type("PriorTransformer")),
    Kind("TAESD", .smallAutoencoder, .type("AutoencoderTiny")),
    Kind("a VAE of videos", .otherLatents, .type("AutoencoderKLTemporalDecoder")),
    Kind("a DC-AE", .otherLatents, .type("AutoencoderDC")),
    Kind("an asymmetric VAE", .otherLatents, .type("AsymmetricAutoencoderKL")),
    Kind("a consistency decoder", .otherLatents, .type("ConsistencyDecoderVAE")),
    Kind("a VQ autoencoder", .otherLatents, .type("VQModel")),
    Kind("a Wan VAE", .otherLatents, .type("AutoencoderKLWan")),
    Kind("a Qwen-Image VAE", .otherLatents, .type("AutoencoderKLQwenImage")),
    Kind("a CogVideoX VAE", .otherLatents, .type("AutoencoderKLCogVideoX")),
    Kind("a HunyuanVideo VAE", .otherLatents, .type("AutoencoderKLHunyuan")),
    Kind("an LTX-Video VAE", .otherLatents, .type("AutoencoderKLLTX")),
    Kind("a Mochi VAE", .otherLatents, .type("AutoencoderKLMochi")),
    Kind("a Flux 2 VAE", .otherLatents, .type("AutoencoderKLFlux2")),
    Kind("a T5 text encoder", .unused, .type("T5")),
    Kind("a T5 text encoder", .unused, .type("UMT5")),
    Kind("a CLIP image encoder", .unused, .type("CLIPVision")),
    Kind("the language model of Kolors", .unused, .type("ChatGLM")),
    Kind("a safety checker", .checker, .type("StableDiffusionSafetyChecker")),
    // Members of the configs of `UNet2DConditionModel` and `AutoencoderKL`, whose classes are read.
    Kind("InstructPix2Pix", .image, .unet("in_channels", "8")),
    Kind("Stable Diffusion 2 with depth", .depth, .unet("in_channels", "5")),
    Kind("the Stable Diffusion x4 upscaler", .image, .unet("in_channels", "7")),
    Kind("the Stable Diffusion x4 upscaler", .image, .unet("num_class_embeds", nil)),
    Kind("Stable unCLIP", .imageEmbedding, .unet("class_embed_type", "\"projection\"")),
    Kind("Kandinsky 2", .imageEmbedding, .unet("encoder_hid_dim_type", "\"image_proj\"")),
    Kind("Kandinsky 2", .imageEmbedding, .unet("encoder_hid_dim_type", "\"text_image_proj\"")),
    Kind("DeepFloyd IF", .pixels, .unet("addition_embed_type", "\"text\"")),
    Kind("Kolors", .otherText, .unet("encoder_hid_dim_type", "\"text_proj\"")),
    Kind("GLIGEN", .boxes, .unet("attention_type", "\"gated\"")),
    Kind("a Flux or SD 3 VAE", .otherLatents, .member(component: "vae", "latent_channels", "16")),
    Kind("a Flux 2 VAE", .otherLatents, .member(component: "vae", "latent_channels", "32")),
  ]

  /// The first kind with a mark in the config of a component; `nil` where there is none.
  ///
  /// - Parameter member: gives the value in JSON of a member of the config; `nil` for members that the
  ///   config does not have.
  package static func kind(
    ofComponent name: String, _ member: (String) -> String?
  ) -> Kind? {
    all.first { kind in
      guard case .member(component: name, let field, let value) = kind.mark,
        let found = member(field)
      else { return false }
      return value == nil ? found != "null" : found == value
    }
  }

  /// The kind of a pipeline or a component of that class; `nil` for classes that are read, and for
  /// unknown ones.
  package static func kind(ofClass name: String) -> Kind? {
    all.first { kind in
      if case .type(let beginning) = kind.mark { name.hasPrefix(beginning) } else { false }
    }
  }
}
