import Support

/// Small valid files, for formats of which Fixtures has none and which no command writes.
enum SmallFiles {
  /// A safetensors file.
  ///
  /// - Parameters:
  ///   - tensors: names and shapes. Each number of an F32 tensor is 2⁻⁷, of an I64 tensor 0.
  ///   - kind: `F32` or `I64`.
  ///   - metadata: a JSON object of strings.
  static func safetensors(
    _ tensors: [(name: String, shape: [Int])], kind: String = "F32", metadata: String? = nil
  ) -> [UInt8] {
    let number: [UInt8] = kind == "I64" ? [0, 0, 0, 0, 0, 0, 0, 0] : [0, 0, 0, 0x3c]
    var members = metadata.map { ["\"__metadata__\":\($0)"] } ?? []
    var data: [UInt8] = []
    for (name, shape) in tensors {
      let start = data.count
      for _ in 0..<shape.reduce(1, *) { data += number }
      members.append(
        "\"\(name)\":{\"dtype\":\"\(kind)\",\"shape\":\(shape),"
          + "\"data_offsets\":[\(start),\(data.count)]}")
    }
    let header = Array("{\(members.joined(separator: ","))}".utf8)
    return [UInt8](littleEndian: UInt64(header.count)) + header + data
  }

  /// A GGUF file of version 3.
  ///
  /// - Parameter tensors: names, shapes of 256 numbers, and the number and the bytes of a type whose
  ///   block has 256 numbers. The shape is in the metadata, as ComfyUI-GGUF stores it.
  static func gguf(
    _ tensors: [(name: String, shape: [Int], type: UInt32, bytes: Int)]
  ) -> [UInt8] {
    func text(_ text: String) -> [UInt8] {
      [UInt8](littleEndian: UInt64(text.utf8.count)) + Array(text.utf8)
    }
    let alignment = 32
    func padded(_ bytes: [UInt8]) -> [UInt8] {
      bytes + [UInt8](repeating: 0, count: (alignment - bytes.count % alignment) % alignment)
    }
    var head = Array("GGUF".utf8) + [UInt8](littleEndian: UInt32(3))
    // The number of tensors, and that of metadata values.
    for _ in 0..<2 { head += [UInt8](littleEndian: UInt64(tensors.count)) }
    for (name, shape, _, _) in tensors {
      // An array (9) of 32-bit integers (5).
      head += text("comfy.gguf.orig_shape." + name)
      for number: UInt32 in [9, 5] { head += [UInt8](littleEndian: number) }
      head += [UInt8](littleEndian: UInt64(shape.count))
      for extent in shape { head += [UInt8](littleEndian: UInt32(extent)) }
    }
    var data: [UInt8] = []
    for (name, _, type, bytes) in tensors {
      head += text(name) + [UInt8](littleEndian: UInt32(1)) + [UInt8](littleEndian: UInt64(256))
      head += [UInt8](littleEndian: type) + [UInt8](littleEndian: UInt64(data.count))
      // As half-precision numbers, which scales are, these bytes are small.
      data += padded([UInt8](repeating: 0x11, count: bytes))
    }
    return padded(head) + data
  }
}

// MARK: - Adapters of Fixtures/golden/pipeline

extension SmallFiles {
  private static let attention = "mid_block.attentions.0.transformer_blocks.0.attn1."
  private static let convolution = "down_blocks.0.resnets.0.conv1"

  private static func adapter(
    _ module: String, _ parts: [(String, [Int])], metadata: String? = nil
  ) -> [UInt8] {
    safetensors(parts.map { (module + "." + $0.0, $0.1) }, metadata: metadata)
  }

  /// One file for each kind of adapter.
  static let adapters: [[UInt8]] = [
    // kohya's names, matrices and LyCORIS's Tucker form.
    safetensors(
      [
        ("_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight", [2, 32]),
        ("_attentions_0_transformer_blocks_0_attn1_to_q.lora_up.weight", [32, 2]),
        ("_attentions_0_transformer_blocks_0_attn1_to_q.alpha", []),
        ("_resnets_0_conv1.lora_down.weight", [2, 32, 1, 1]),
        ("_resnets_0_conv1.lora_up.weight", [32, 2, 1, 1]),
        ("_resnets_0_conv1.lora_mid.weight", [2, 2, 3, 3]),
      ].map { ("lora_unet_mid_block" + $0.0, $0.1) }),
    // diffusers' settings.
    adapter(
      "unet." + attention + "to_q", [("lora_A.weight", [2, 32]), ("lora_B.weight", [32, 2])],
      metadata:
        #"{"lora_adapter_metadata":"{\"unet.lora_alpha\": 4, \"unet.r\": 2, "#
        + #"\"unet.alpha_pattern\": {\"to_q\": 2}}"}"#),
    // LoHa with DoRA.
    adapter(
      "unet." + attention + "to_q",
      [
        ("hada_w1_a", [32, 2]), ("hada_w1_b", [2, 32]), ("hada_w2_a", [32, 2]),
        ("hada_w2_b", [2, 32]), ("dora_scale", [32, 1]),
      ]),
    adapter(
      "unet." + attention + "to_q",
      [("lokr_w1", [4, 4]), ("lokr_w2_a", [8, 2]), ("lokr_w2_b", [2, 8]), ("alpha", [])]),
    adapter("unet." + convolution, [("diff", [16, 16, 3, 3]), ("diff_b", [16])]),
  ]

  /// A folder of PEFT: weights and settings, with DoRA.
  static let peft = adapter(
    "base_model.model." + attention + "to_q",
    [
      ("lora_A.weight", [2, 32]), ("lora_B.weight", [32, 2]),
      ("lora_magnitude_vector.weight", [32]),
    ])
  static let peftSettings =
    #"{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "use_dora": true, "use_rslora": true, "#
    + #""rank_pattern": {"to_k": 4}, "alpha_pattern": {"attn1.to_q": 2.5}}"#

  /// LoRA in K-quants, of all types.
  static let kQuants: [UInt8] = {
    let blocks: [(type: UInt32, bytes: Int)] = [
      (10, 84), (11, 110), (12, 144), (13, 176), (14, 210), (10, 84),
    ]
    return gguf(
      blocks.enumerated().map { index, block in
        let (layer, isDown) = (["to_q", "to_k", "to_v"][index / 2], index % 2 == 0)
        return (
          "unet.\(attention)\(layer).lora_\(isDown ? "A" : "B").weight",
          isDown ? [8, 32] : [32, 8], block.type, block.bytes
        )
      })
  }()
}
