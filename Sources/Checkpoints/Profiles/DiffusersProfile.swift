import ModelSources

/// diffusers without other packages. It has no integer weights of its own.
struct DiffusersProfile: OutputProfile {
  let name = "diffusers"
  let title = "diffusers"
  var container: String { DiffusersFolderWriter().name }
  var memorySwitches: MemorySwitches? { .pipeline }
}
