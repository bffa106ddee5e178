"""What several pages and commands share: opening scenes and judges, long work, queues. No Gradio."""
