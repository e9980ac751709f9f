// What a word of the page means, shown on hover and on focus.
const MEANING = {
  share: "Explained share: how much the error would grow without this feature. The features' shares overlap, so they need not sum to the whole.",
  energy: "Energy share: the size of this feature's own part of the reconstruction, relative to all activations.",
  active: "Active: the share of tokens that use this feature at all, however weakly.",
  maximum: "Maximum: the largest coefficient, which is how strongly the token that uses it most does so.",
  norm: "Norm: the length of the feature's direction. Coefficient × norm is what is added to a token's activations.",
  cosine: "Cosine of the two directions: 1 the same neurons in the same way, 0 nothing in common, −1 opposite.",
  correlation: "Correlation of the two features' coefficients over all tokens: 1 always together, 0 unrelated.",
  logit: "What the feature adds to the logit of a token at unit strength: above zero it makes the model say the token.",
  score: "S_CD: the logarithm of the mean activation on the concept's prompts over that on neutral ones. 0 means no difference.",
  auc: "AUC: how well the feature tells the concept's prompts from others, on the half of the prompts that is held out for scoring. 0.5 is chance, 1 is perfect.",
  chance: "p: the share of shuffles of the labels in which any pair of a feature and a concept is told as clearly. All pairs that were tried are counted, so up to 0.05 a pair is beyond chance.",
  prompts: "Prompts of the concept, both halves together. The fewer there are, the less a score says.",
  support: "Contexts above, of those with a label, that are from prompts of the concept. The concept names the feature if it is the commonest of their labels.",
  diff: "AUC of the difference of means: a direction that was computed with the labels, for comparison.",
  weight: "The neuron's weight in the feature, which is scaled to length 1.",
};
const explained = (key, text) => h("span", { class: "explained", tabindex: "0", "data-tip": MEANING[key] }, text);
