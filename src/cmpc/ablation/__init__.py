"""The paper's ablation: networks that differ in one part, trained and tested alike."""
