internal import Support

/// Sensitivities in a JSON file beside a calibration, so that they are measured once. The file can be
/// read and edited.
///
/// `Formats/calibration.md` specifies it.
package struct SensitivityFile: Sendable, Equatable {
  package static let version = 1
  private static let format = "decant-sensitivities"
  /// What follows the calibration's name.
  private static let ending = ".sensitivity.json"
  /// The most bytes of a file: those of a thousand layers in a thousand calls.
  private static let byteLimit = 32 << 20

  package let path: String
  /// The calibrated weights, and the sampling of the calls.
  package let model: CalibratedModel
  package let settings: CalibrationSettings
  package var sensitivities: Sensitivities

  /// The file beside `calibration`.
  package init(_ sensitivities: Sensitivities, beside calibration: CalibrationFile) {
    path = Self.path(beside: calibration.path)
    model = calibration.model
    settings = calibration.settings
    self.sensitivities = sensitivities
  }

  package static func path(beside calibration: String) -> String { calibration + ending }

  /// Whether the measurements of `other` belong here: the same weights, sampling, units and calls.
  package func matches(_ other: SensitivityFile) -> Bool {
    model == other.model && settings == other.settings
      && sensitivities.calls == other.sensitivities.calls
      && sensitivities.units.map(\.modules) == other.sensitivities.units.map(\.modules)
  }

  /// Merges the files beside calibrations that are merged.
  ///
  /// - Returns: `nil` where no calibration has such a file.
  /// - Throws: ``CalibrationError`` when some calibrations have such a file and others do not, or when
  ///   the files differ in more than their calls.
  package static func merging(
    beside calibrations: [String], for merged: CalibrationFile
  ) throws -> SensitivityFile? {
    let paths = calibrations.map(path(beside:))
    guard let present = paths.first(where: isFile) else { return nil }
    if let absent = paths.first(where: { !isFile($0) }) {
      throw CalibrationError.missingSensitivities(path: absent, present: present)
    }
    let files = try paths.map(SensitivityFile.init)
    for file in files {
      func refuse(_ fault: String) -> CalibrationError {
        .otherSensitivities(paths: [file.path, merged.path], fault: fault)
      }
      if file.model != merged.model { throw refuse("the models differ") }
      if file.settings != merged.settings { throw refuse("the settings differ") }
      if !file.sensitivities.isComplete { throw refuse("\(file.path) is not complete") }
    }
    guard let all = Sensitivities.merging(files.map(\.sensitivities)) else {
      throw CalibrationError.otherSensitivities(
        paths: paths, fault: "their units differ, or two of them have the same call")
    }
    return SensitivityFile(all, beside: merged)
  }

  package func write() throws {
    let file = try ReplacingFile(path: path, replacing: true)
    try file.write(Array((JSONValue.object(json).text(indent: 2) + "\n").utf8))
    try file.commit()
  }

  private var json: JSONObject {
    [
      "format": .string(Self.format), "version": .integer(Self.version),
      "model": .object(model.json), "settings": .object(settings.json),
      "relative_step": .number(Sensitivities.relativeStep),
      "calls": .array(
        sensitivities.calls.map { (call: Sensitivities.Call) -> JSONValue in
          var object = call.run.json
          object["step"] = .integer(call.step)
          return .object(object)
        }),
      "units": .array(
        sensitivities.units.map { unit in
          [
            "name": .string(unit.name), "modules": .strings(unit.modules),
            "weights": .integer(unit.weightCount),
            "errors": .array(unit.errors.map { .number($0) }),
          ]
        }),
    ]
  }
}

extension SensitivityFile {
  /// - Throws: ``CalibrationError`` for a file of another form, or `FileError`.
  package init(path: String) throws {
    guard let bytes = try bytesToEnd(ofFileOrPipe: path, limit: Self.byteLimit) else {
      throw CalibrationError.tooLarge(path: path, limit: Self.byteLimit)
    }
    let value: JSONValue
    do { value = try JSONValue(parsing: ByteSlice(bytes).bytes) } catch {
      throw CalibrationError.notJSON(path: path, part: "file of sensitivities", error: error)
    }
    let reader = MemberReader(path: path, document: "sensitivities")
    let object = try reader.members(
      value.object ?? [:],
      ["format", "version", "model", "settings", "relative_step", "calls", "units"])
    guard object["format"] == .string(Self.format) else {
      throw reader.refuse("format", object["format"], "'\(Self.format)'")
    }
    guard object["version"] == .integer(Self.version) else {
      throw reader.refuse("version", object["version"], "\(Self.version)")
    }
    guard object["relative_step"] == .number(Sensitivities.relativeStep) else {
      throw reader.refuse("relative_step", object["relative_step"], "\(Sensitivities.relativeStep)")
    }
    guard let calls = object["calls"]?.array else {
      throw reader.refuse("calls", object["calls"], "an array")
    }
    guard let units = object["units"]?.array else {
      throw reader.refuse("units", object["units"], "an array")
    }
    self.path = path
    model = try reader.model(object)
    settings = try reader.settings(object, hasCalls: true)
    sensitivities = Sensitivities(
      calls: try calls.enumerated().map { index, value in
        let name = "calls[\(index)]"
        return Sensitivities.Call(
          run: try reader.run(value, name, and: ["step"]),
          step: try reader.integer(value.object ?? [:], "step", of: name, from: 0))
      },
      units: try units.enumerated().map { index, value in
        try reader.unit(value, "units[\(index)]", calls: calls.count)
      })
    let sorted = sensitivities.calls.sorted()
    guard sensitivities.calls == sorted, Set(sorted).count == sorted.count else {
      throw reader.refuse("calls", object["calls"], "sorted calls, none twice")
    }
  }
}

extension MemberReader {
  fileprivate func unit(
    _ value: JSONValue, _ name: String, calls: Int
  ) throws(CalibrationError) -> Sensitivities.Unit {
    let unit = try members(
      try object(value, name), ["name", "modules", "weights", "errors"], of: name)
    let modules = (unit["modules"]?.array ?? []).compactMap(\.string)
    guard !modules.isEmpty, modules.count == unit["modules"]?.array?.count else {
      throw refuse(full("modules", name), unit["modules"], "names of layers")
    }
    let errors = (unit["errors"]?.array ?? []).compactMap(\.number)
    guard errors.count == unit["errors"]?.array?.count, errors.count <= calls,
      errors.allSatisfy({ $0 >= 0 && $0.isFinite })
    else {
      throw refuse(
        full("errors", name), unit["errors"], "at most \(calls) numbers of at least 0")
    }
    return Sensitivities.Unit(
      name: try string(unit, "name", of: name), modules: modules,
      weightCount: try integer(unit, "weights", of: name), errors: errors)
  }
}
