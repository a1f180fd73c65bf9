/// What training code puts before or into the names of tensors, of models and of adapters.
package enum WrapperKeys {
  /// Parts that wrappers of PyTorch (`torch.compile`, FSDP, activation checkpointing) insert anywhere
  /// in a name. No module of a model has such a name.
  package static let parts = [
    "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module",
  ]

  /// The part that `DistributedDataParallel` adds, which is anywhere in the names of adapters.
  package static let distributed = "module"

  /// The prefix that PEFT adds to a model or to one of its components.
  package static let peft = "base_model.model."

  /// Members of the dictionaries that trainers of adapters save, and other prefixes of all names.
  /// Prefixes of models are found without a list.
  package static let containers = ["state_dict.", "model.", "network.", "lora."]

  /// Words between dots and underscores of prefixes that mark a moving average of the weights.
  package static let averageWords = ["ema", "averaged"]
}
