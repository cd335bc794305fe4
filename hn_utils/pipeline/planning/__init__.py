"""What a study will cost: `plan` tells it, from steps that are walked without a model and a probe of the machine."""
