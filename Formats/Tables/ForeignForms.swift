/// Forms of quantized weights that Decant does not read, with the marks that identify them, so that
/// error messages can name them. One line a mark.
package enum ForeignForms {
  /// A form with one of its marks.
  package struct Form: Sendable {
    /// The name in messages.
    package let name: String
    package let mark: Mark

    fileprivate init(_ name: String, _ mark: Mark) { (self.name, self.mark) = (name, mark) }
  }

  package enum Mark: Sendable {
    /// The end of a tensor's name.
    case ending(String)
    /// `quant_method` in the `quantization_config` of a component's config.
    case method(String)
    /// `format` in a `comfy_quant` tensor.
    case format(String)
  }

  /// Every form. The first whose mark is found is the form of the weights.
  package static let all: [Form] = [
    // diffusers/quantizers/bitsandbytes/bnb_quantizer.py
    Form("NF4 of bitsandbytes", .ending(".quant_state.bitsandbytes__nf4")),
    Form("FP4 of bitsandbytes", .ending(".quant_state.bitsandbytes__fp4")),
    Form("int8 of bitsandbytes", .ending(".SCB")),
    Form("4 bits of bitsandbytes", .ending(".absmax")),
    Form("bitsandbytes", .method("bitsandbytes")),
    Form("bitsandbytes", .method("bitsandbytes_4bit")),
    Form("bitsandbytes", .method("bitsandbytes_8bit")),
    // nunchaku/models/linear.py, SVDQW4A4Linear
    Form("SVDQuant of nunchaku", .ending(".wscales")),
    Form("SVDQuant of nunchaku", .method("nunchaku_lite")),
    // AutoGPTQ/auto_gptq/nn_modules/qlinear and AutoAWQ/awq/modules/linear
    Form("GPTQ", .ending(".g_idx")),
    Form("GPTQ or AWQ", .ending(".qzeros")),
    Form("GPTQ or AWQ", .ending(".qweight")),
    Form("GPTQ", .method("gptq")),
    Form("AWQ", .method("awq")),
    // optimum/quanto/tensor/weights, save_to_state_dict
    Form("quanto", .ending(".weight._data")),
    Form("quanto", .ending(".weight._data._data")),
    Form("quanto", .method("quanto")),
    // transformers/integrations/torchao.py
    Form("torchao", .ending("._weight_qdata")),
    Form("torchao", .method("torchao")),
    // ComfyUI/comfy/quant_ops.py, QUANT_ALGOS
    Form("NVFP4", .format("nvfp4")),
    Form("NVFP4", .ending(".weight_scale_2")),
    Form("MXFP8", .format("mxfp8")),
    Form("4 bits in rotated groups (ConvRot W4A4)", .format("convrot_w4a4")),
    Form("asymmetric 4 bits (W4A8)", .format("asym_w4a8_int8")),
    Form("asymmetric 4 bits (W4A8)", .ending(".weight_s_rel")),
    // transformers/integrations/finegrained_fp8.py
    Form("float8 with a scale for each block", .ending(".weight_scale_inv")),
    // compressed_tensors/compressors/quantized_compressors/pack_quantized.py
    Form("packed integers of compressed-tensors", .ending(".weight_packed")),
    Form("compressed-tensors", .method("compressed-tensors")),
    // hqq/core/quantize.py and EETQ/python/eetq/modules/qlinear.py
    Form("HQQ", .ending(".W_q")),
    Form("HQQ", .method("hqq")),
    Form("EETQ", .ending(".weight_scales")),
    Form("NVIDIA ModelOpt", .method("modelopt")),
  ]

  /// The form with that `quant_method`; `nil` for an unknown one.
  package static func form(method: String) -> Form? {
    all.first { if case .method(method) = $0.mark { true } else { false } }
  }

  /// The form with that `format`; `nil` for an unknown one.
  package static func form(format: String) -> Form? {
    all.first { if case .format(format) = $0.mark { true } else { false } }
  }

  /// The form of a file with tensors of these names, and a tensor that shows it; `nil` where none
  /// is found.
  package static func form(of names: [String]) -> (form: Form, tensor: String)? {
    for form in all {
      guard case .ending(let ending) = form.mark else { continue }
      if let tensor = names.first(where: { $0.hasSuffix(ending) }) { return (form, tensor) }
    }
    return nil
  }
}
