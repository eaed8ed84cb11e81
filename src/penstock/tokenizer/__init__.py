"""Text to token ids, the same in gateway, worker and load generator.

- `tokenizer`: `Tokenizer.load`: a shipped tokenizer by name, or a directory with `tokenizer.json`.
- `chat_template`: chat messages to the text that a model was trained on, by the model's own template.
- `words`: words that are one token each, so that made text has a known length.
- `tiny/`: the small tokenizer that ships, as `penstock/tiny`; `assets/tokenizer/train.py` makes it.
"""
