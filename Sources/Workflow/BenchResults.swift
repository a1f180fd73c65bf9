package import Support

/// Measurements of models, kernels and lossless coding.
package struct BenchResults: JobOutcome {
  /// One object per model and arithmetic, as in ``json``.
  let models: [JSONObject]
  let kernels: [KernelBench.Row]
  let coding: [CodingBench.Row]

  package var json: JSONValue {
    var members: JSONObject = [
      "machine": .string(machineName()), "models": .array(models.map { .object($0) }),
    ]
    if !kernels.isEmpty {
      members["kernels"] = .array(
        kernels.map { row in
          [
            "name": .string(row.name), "compute": .string(row.compute),
            "seconds": .number(row.seconds), "products_per_second": .number(row.rate),
            "share_of_peak": .number(row.shareOfPeak),
          ]
        })
    }
    if !coding.isEmpty {
      members["coding"] = .array(
        coding.map { row in
          [
            "name": .string(row.name),
            "bytes_encoded_per_second": .number(row.bytesEncodedPerSecond),
            "bytes_decoded_per_second": .number(row.bytesDecodedPerSecond),
            "share": .number(row.share),
          ]
        })
    }
    return .object(members)
  }

  package var text: String {
    var parts = [machineName()]
    if !models.isEmpty { parts.append(modelTable) }
    if !kernels.isEmpty {
      let lines = kernels.map { row in
        [
          row.name, row.compute, formatted(1000 * row.seconds, digits: 3),
          formatted(2e-9 * row.rate, digits: 3),
          formatted(100 * row.shareOfPeak, digits: 3) + " %",
        ]
      }
      parts.append(
        table(
          [["operation", "compute", "ms", "GFLOP/s", "of the peak"]] + lines,
          rightAligned: Set(2...4)))
    }
    if !coding.isEmpty {
      let lines = coding.map { row in
        [
          row.name, formatted(1e-6 * row.bytesEncodedPerSecond, digits: 3),
          formatted(1e-6 * row.bytesDecodedPerSecond, digits: 3),
          formatted(100 * row.share, digits: 3) + " %",
        ]
      }
      parts.append(
        "\n"
          + table(
            [["lossless coding", "encoding, MB/s", "decoding, MB/s", "in the file"]] + lines,
            rightAligned: Set(1...3)))
    }
    return (parts + models.compactMap(profile)).joined(separator: "\n")
  }

  private var modelTable: String {
    var lines = [
      [
        "model", "family", "compute", "size", "parameters", "file", "s/step", "CPU s/step",
        "s/image", "peak memory",
      ]
    ]
    for row in models {
      lines.append([
        row.text("name"), row.text("family"), row.text("compute"),
        "\(row.count("width"))x\(row.count("height"))", formatted(count: row.count("parameters")),
        row["file_bytes"]?.integer.map(formatted(bytes:)) ?? "-",
        formatted(row.measure("seconds_per_step"), digits: 3),
        formatted(row.measure("cpu_seconds_per_step"), digits: 3),
        formatted(row.measure("seconds_per_picture"), digits: 3),
        formatted(bytes: row.count("peak_bytes")),
      ])
    }
    return table(lines, rightAligned: Set(3...9))
  }

  /// The profile of a model's row as tables of operations and blocks; `nil` when there is none.
  private func profile(_ row: JSONObject) -> String? {
    guard let profile = row["profile"]?.object else { return nil }
    let whole = profile.measure("seconds")
    func lines(_ title: String, _ shares: [JSONObject]) -> String {
      var rows = [[title, "calls", "seconds", "share", "GFLOP/s"]]
      for share in shares {
        let (seconds, calls) = (share.measure("seconds"), share.count("calls"))
        let rate = share["products"]?.number.map { 2e-9 * $0 / seconds }
        rows.append([
          share.text("name"), calls == 0 ? "-" : "\(calls)", formatted(seconds, digits: 3),
          formatted(100 * seconds / whole, digits: 3) + " %",
          rate.map { formatted($0, digits: 3) } ?? "-",
        ])
      }
      return table(rows, rightAligned: Set(1...4))
    }
    func shares(_ member: String) -> [JSONObject] {
      profile[member]?.array?.compactMap(\.object) ?? []
    }
    let operations = shares("operations").sorted { $0.measure("seconds") > $1.measure("seconds") }
    return "\n\(row.text("name")), \(row.text("compute"))\n" + lines("operation", operations)
      + "\n\n" + lines("block", shares("blocks"))
  }
}

extension JSONObject {
  fileprivate func text(_ member: String) -> String { self[member]?.string ?? "" }
  fileprivate func count(_ member: String) -> Int { self[member]?.integer ?? 0 }
  fileprivate func measure(_ member: String) -> Double { self[member]?.number ?? 0 }
}
