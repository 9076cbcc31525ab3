"""./dev bench suite: workflows judged on many clips, over one or many ComfyUI servers; see docs/judge.md."""
