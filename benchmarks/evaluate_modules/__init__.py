"""Hugging Face's `evaluate` modules for BLEU, ROUGE and METEOR as they are at their core: the calls into sacrebleu, rouge_score and nltk.

Written here, not copied, so that the benchmark needs no network; https://github.com/huggingface/evaluate/tree/main/metrics has theirs. Two
differences: METEOR's words are cut without nltk's sentence model, which no package carries, and is told where WordNet lies; ROUGE gives the values
of single pairs (their `use_aggregator=False`), as their default is the median of random resamples, which no number can equal, and takes longer.
"""
