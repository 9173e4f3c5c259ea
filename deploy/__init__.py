"""What deployment needs: the image's check, manifests and a dashboard."""
