extension Remedy {
  /// The remedy for programs: the settings that it concerns by their names, and the values or the
  /// action.
  package var json: JSONValue {
    func settings(_ settings: [Setting]) -> JSONValue { .strings(settings.map(\.rawValue)) }
    switch self {
    case .choose(let setting, let values, let purpose):
      var object: JSONObject = ["choose": settings([setting])]
      if !values.isEmpty { object["values"] = .strings(values) }
      if !purpose.isEmpty { object["purpose"] = .string(purpose) }
      return .object(object)
    case .addComponents(let components): return ["choose": settings(components)]
    case .adjust(let setting, let adjustment):
      return ["choose": settings([setting]), "adjustment": .string(adjustment.rawValue)]
    case .leaveOut(let setting, let others): return ["leave_out": settings([setting] + others)]
    case .storeAs(let types): return ["choose": settings([.type]), "values": .strings(types)]
    case .reduceScale(let adapter):
      return [
        "choose": settings([.adapters]), "adjustment": "smaller", "values": .strings([adapter]),
      ]
    case .quantizeOriginalAs(let type):
      return ["action": "quantize the original model", "values": .strings([type])]
    case .renameOutput: return ["action": "rename the output"]
    case .quantizeOriginal: return ["action": "quantize the original model"]
    case .readOriginal: return ["action": "read the original model"]
    case .recalibrate: return ["action": "calibrate the model"]
    case .checkWeights: return ["action": "check the weights"]
    case .repeatCommand: return ["action": "repeat the command"]
    case .downloadAgain: return ["action": "download the file again"]
    case .pullFromGitLFS: return ["action": "pull the file from Git LFS"]
    case .act(let clause): return ["action": .string(clause)]
    case .either(let remedies): return ["either": .array(remedies.map(\.json))]
    }
  }
}
