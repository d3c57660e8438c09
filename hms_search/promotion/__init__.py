"""From a trial to a final model: choosing, training on all folds, judging, blending, repeating."""
